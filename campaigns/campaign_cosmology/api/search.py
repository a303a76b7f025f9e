"""The search for an optimum: an optimiser, from one start or several, and what is accepted of what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import InvalidValue, told
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.optimizers import BUILTIN_OPTIMIZERS, OPTIMIZERS

WORSE = 1e-6  # an optimum that raises the objective by more than this is rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where one call of an optimiser ended."""

    x: np.ndarray
    value: float
    status: str
    message: str
    n_evaluations: int
    n_iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The best end, or the start where none is better, with a table of all starts."""

    best: End
    table: list[dict[str, Any]]
    n_evaluations: int


def search(objective: Any, method: str, options: Mapping[str, Any] | None, starts: list[np.ndarray]) -> Search:
    """Run an optimiser from every start; the first start is where the fit begins.

    An end that is worse than that, or out of bounds, is rejected: status "failed", and the start is returned.
    """
    parameters = objective.parameters
    at_start = objective(starts[0])
    table, best, n_evaluations = [], None, 0
    for x_start in starts:
        end = _end(objective, method, options, x_start)
        n_evaluations += end.n_evaluations
        value, status = end.value, end.status
        if not all(p.lower <= v <= p.upper for p, v in zip(parameters, end.x, strict=True)):
            value, status = np.inf, "failed"  # an optimiser that was registered, and went its own way
        entry = {"start": named(parameters, x_start), "end": named(parameters, end.x), "chi2": value, "status": status}
        table.append(entry)
        if np.isfinite(value) and (best is None or value < best.value - 1e-12):
            best = end
    if best is None or best.value > at_start + WORSE:
        message = "no start led to a lower chi2; the start is returned"
        best = End(x=starts[0], value=at_start, status="failed", message=message, n_evaluations=0, n_iterations=0)
    return Search(best=best, table=table, n_evaluations=n_evaluations)


def _end(objective: Any, method: str, options: Mapping[str, Any] | None, x_start: np.ndarray) -> End:
    function = OPTIMIZERS[method]
    bounds = [(p.lower, p.upper) for p in objective.parameters]
    if function is BUILTIN_OPTIMIZERS.get(method):
        found = function(_from(objective, x_start), x_start, bounds, options)
        return _read(found, float(found.fun), np.asarray(found.x, float))
    try:
        found = function(objective, x_start.copy(), bounds, options)
    except Exception as error:
        raise InvalidValue(f"the optimiser `{method}` failed: {told(error).message}") from error
    x = _point(method, found, len(x_start))
    value = float(objective(x)) if np.isfinite(x).all() else np.inf  # its own word for chi2 is not taken
    return _read(found, value, x)


def _point(method: str, found: Any, n: int) -> np.ndarray:
    """The parameters in what a registered optimiser gave back: an array, or a result with `x` as scipy's.

    Raises:
        ValueError (InvalidValue): neither, or not one number for each parameter.
    """
    given = found.get("x") if isinstance(found, Mapping) else getattr(found, "x", found)
    try:
        x = np.asarray(given, float)
    except (TypeError, ValueError):
        x = np.empty(())
    if x.shape != (n,):
        seen = f"an array of shape {x.shape}" if isinstance(given, np.ndarray) else f"a {type(found).__name__}"
        raise InvalidValue(
            f"the optimiser `{method}` returned {seen}, not {n} parameters",
            hint="return the best parameters as an array, or a scipy.optimize.OptimizeResult with x",
        )
    return x


def _read(found: Any, value: float, x: np.ndarray) -> End:
    def of(name: str, default: Any) -> Any:
        given = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        return default if given is None else given

    status = "success"
    if not of("success", True):
        text = str(of("message", "")).lower()
        status = "max_iter" if of("status", None) == 1 or "maximum number" in text else "failed"
    counts = {name: int(of(name, 0)) for name in ("nfev", "nit")}
    return End(
        x=x,
        value=value,
        status=status,
        message=str(of("message", "")),
        n_evaluations=counts["nfev"],
        n_iterations=counts["nit"],
    )


def _from(objective: Any, x_start: np.ndarray) -> Any:
    if isinstance(objective, ProblemObjective):
        return ProblemObjective(objective.problem, objective.theta(x_start))
    return objective


def named(parameters: Sequence[Any], x: np.ndarray) -> dict[str, float]:
    """Values by name."""
    return {p.name: float(v) for p, v in zip(parameters, x, strict=True)}


def starts_of(parameters: Sequence[Any], x0: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    """x0, and n − 1 points of a Latin hypercube of ±20 % (or ±0.3 in logarithm) around it, inside the bounds."""
    if n == 1:
        return [x0]
    from scipy.stats import qmc

    spread = 2.0 * qmc.LatinHypercube(len(x0), rng=np.random.default_rng(seed)).random(n - 1) - 1.0
    starts = [x0]
    for row in spread:
        x = []
        for parameter, value, shift in zip(parameters, x0, row, strict=True):
            if parameter.transform == "log":
                moved = value * np.exp(0.3 * shift)
            else:
                moved = value + 0.2 * shift * (abs(value) or 1.0)
            x.append(float(np.clip(moved, parameter.lower, parameter.upper)))
        starts.append(np.array(x))
    return starts
