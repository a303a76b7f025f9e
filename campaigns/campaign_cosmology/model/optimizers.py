"""Optimisers by name: chi2 → the best parameters inside their bounds.

An optimiser is ``function(objective_func, initial_params, bounds=None, options=None)`` and returns what scipy returns
(`x`, `fun`, `nfev`, `nit`, `success`, `message`). `objective_func(x)` is chi2 in the parameters' own units; it also has
``.gradient(x)`` (exact for the models of this package), ``.many(x)`` and ``.parameters``. Register your own in
`OPTIMIZERS` and name it in ``optimizer_config["method"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from campaign.science import InvalidValue, nearest

STATIONARY = 1e-5  # gradient of chi2 per sigma below which a line search that gave up has converged
AT_BOUND = 1e-8  # of the range: this close to a bound is at the bound
ACCEPTS = {
    "L-BFGS-B": ("maxiter", "ftol", "gtol"),
    "SLSQP": ("maxiter", "ftol"),
    "TNC": ("ftol", "gtol", "xtol"),
    "Nelder-Mead": ("maxiter",),
    "Powell": ("maxiter", "ftol", "xtol"),
}  # methods of scipy.optimize.minimize, and which options each has
Optimizer = Callable[..., Any]
Bounds = Sequence[tuple[float, float]]


def checked_options(options: Mapping[str, Any] | None, defaults: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Defaults with `options` put in.

    Raises:
        ValueError (InvalidValue): an option that the method does not have.
    """
    for name in options or {}:
        if name not in defaults:
            raise InvalidValue(f"optimiser `{method}` has no option `{name}`", hint=nearest(name, defaults))
    return {**defaults, **(options or {})}


class _Scaled:
    """chi2 in coordinates of order one: logarithms where the parameter says so, divided by a typical size.

    The typical size is the curvature's where the objective knows its Jacobian: then the first steps are right.
    """

    def __init__(self, objective: Any, x0: np.ndarray, bounds: Bounds) -> None:
        self.objective = objective
        self.is_log = np.array([p.transform == "log" for p in objective.parameters])
        self.origin = self._t(np.asarray(x0, float))
        self.scale = np.array([p.typical for p in objective.parameters]) / self._slope(self.origin)
        if hasattr(objective, "linearised"):
            norms = np.linalg.norm(objective.linearised(np.asarray(x0, float))[1], axis=0) * self._slope(self.origin)
            self.scale = np.where(norms > 1e-3 / self.scale, 1.0 / np.where(norms > 0, norms, 1.0), self.scale)
        low, high = (self._t(np.array(side, float)) for side in zip(*bounds, strict=True))
        self.low, self.high = (low - self.origin) / self.scale, (high - self.origin) / self.scale

    def _t(self, x: np.ndarray) -> np.ndarray:
        return np.where(self.is_log, np.log(np.where(self.is_log, x, 1.0)), x)

    def _slope(self, t: np.ndarray) -> np.ndarray:
        return np.where(self.is_log, np.exp(np.where(self.is_log, t, 0.0)), 1.0)

    def x(self, s: np.ndarray) -> np.ndarray:
        t = self.origin + self.scale * s
        x = np.where(self.is_log, np.exp(np.where(self.is_log, t, 0.0)), t)
        low = np.array([p.lower for p in self.objective.parameters])
        return np.clip(x, low, [p.upper for p in self.objective.parameters])  # a bound is the bound, to the last digit

    def __call__(self, s: np.ndarray) -> float:
        return self.objective(self.x(s))

    def is_stationary(self, s: np.ndarray) -> bool:
        """Whether no component of the gradient that a bound leaves free exceeds 1e-5."""
        g = self.gradient(s)
        held = ((s <= self.low) & (g > 0)) | ((s >= self.high) & (g < 0))
        return bool(np.all(np.abs(np.where(held, 0.0, g)) < STATIONARY))

    def gradient(self, s: np.ndarray) -> np.ndarray:
        return self.objective.gradient(self.x(s)) * self._slope(self.origin + self.scale * s) * self.scale


def minimize(
    objective_func: Any, initial_params: np.ndarray, bounds: Bounds | None = None, options: Mapping | None = None
) -> Any:
    """scipy.optimize.minimize, L-BFGS-B unless ``options["method"]`` says otherwise, with exact gradients.

    Options: maxiter 1000, ftol 1e-12, gtol 1e-8 (of chi2 per typical change), xtol (for methods that have one), method.
    """
    from scipy.optimize import minimize as scipy_minimize

    defaults = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8, "xtol": 1e-10, "method": "L-BFGS-B"}
    chosen = checked_options(options, defaults, "minimize")
    method = chosen["method"]
    if method not in ACCEPTS:
        raise InvalidValue(f"minimize has no method `{method}`", hint=nearest(str(method), ACCEPTS))
    bounds = bounds or [(p.lower, p.upper) for p in objective_func.parameters]
    has_gradient = method in ("L-BFGS-B", "SLSQP", "TNC")
    x, nfev, nit = np.asarray(initial_params, float), 0, 0
    for _ in range(2):  # the second pass starts from the curvature at the first one's end
        scaled = _Scaled(objective_func, x, bounds)
        found = scipy_minimize(
            scaled,
            np.zeros(len(x)),
            jac=scaled.gradient if has_gradient else None,
            bounds=list(zip(scaled.low, scaled.high, strict=True)),
            method=method,
            options={k: chosen[k] for k in ACCEPTS[method]},
        )
        x, nfev, nit = scaled.x(found.x), nfev + int(found.nfev), nit + int(found.nit)
        if has_gradient and not found.success and found.status != 1 and scaled.is_stationary(found.x):
            found.success, found.message = True, "the gradient vanishes; chi2 cannot be lowered within rounding"
    if found.success and hasattr(objective_func, "linearised"):
        x = _finished(objective_func, x, np.array(bounds, float))
    found.x, found.nfev, found.nit, found.fun = x, nfev, nit, objective_func(x)
    return found


def _finished(objective: Any, x: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Gauss–Newton steps while they shrink the gradient: rounding of chi2 stops a line search at 1e-6 of a sigma."""
    low, high = bounds.T
    near = AT_BOUND * (high - low)
    x = np.where(x - low <= near, low, np.where(high - x <= near, high, x))
    unit = np.array([p.typical for p in objective.parameters])
    r, jacobian = objective.linearised(x)
    for _ in range(3):
        slopes = jacobian * unit
        gradient = slopes.T @ r
        free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
        if not (free.any() and np.isfinite(slopes).all()):
            break
        there = x.copy()
        there[free] -= unit[free] * np.linalg.lstsq(slopes[:, free], r, rcond=1e-9)[0]
        inside = bool(((there >= low) & (there <= high)).all())
        r, jacobian = objective.linearised(there) if inside else (r, jacobian)
        if not inside or not np.linalg.norm(((jacobian * unit).T @ r)[free]) < np.linalg.norm(gradient[free]):
            break
        x = there
    return x


def differential_evolution(
    objective_func: Any, initial_params: np.ndarray, bounds: Bounds | None = None, options: Mapping | None = None
) -> Any:
    """scipy.optimize.differential_evolution, whole generations at once, finished by `minimize`.

    Options: maxiter 1000, seed 42, popsize 15, atol 1e-6, tol 1e-6. Bounds are required (and finite).
    """
    from scipy.optimize import differential_evolution as scipy_evolution

    defaults = {"maxiter": 1000, "seed": 42, "popsize": 15, "atol": 1e-6, "tol": 1e-6}
    chosen = checked_options(options, defaults, "differential_evolution")
    bounds = bounds or [(p.lower, p.upper) for p in objective_func.parameters]
    if not np.isfinite(bounds).all():
        raise InvalidValue("differential_evolution needs a finite lower and upper bound for every parameter")
    is_log = np.array([p.transform == "log" for p in objective_func.parameters])
    low, high = np.array(bounds, float).T
    t_low, t_high = (
        np.where(is_log, np.log(np.abs(low) + (low == 0)), low),
        np.where(is_log, np.log(np.abs(high)), high),
    )

    def generation(t: np.ndarray) -> np.ndarray:  # (d, n) → (n,)
        x = np.where(is_log[:, None], np.exp(np.where(is_log[:, None], t, 0.0)), t)
        return objective_func.many(np.clip(x, low[:, None], high[:, None]).T)

    t0 = np.where(is_log, np.log(np.where(is_log, initial_params, 1.0)), initial_params)
    found = scipy_evolution(
        generation,
        list(zip(t_low, t_high, strict=True)),
        maxiter=chosen["maxiter"],
        popsize=chosen["popsize"],
        atol=chosen["atol"],
        tol=chosen["tol"],
        rng=np.random.default_rng(chosen["seed"]),
        x0=np.clip(t0, t_low, t_high),
        polish=False,
        vectorized=True,
        updating="deferred",
    )
    best = np.clip(np.where(is_log, np.exp(np.where(is_log, found.x, 0.0)), found.x), low, high)
    polished = minimize(objective_func, best, bounds)
    polished.nfev, polished.nit = int(found.nfev + polished.nfev), int(found.nit + polished.nit)
    polished.success, polished.message = bool(found.success), f"{found.message}; finished by L-BFGS-B"
    return polished


def trf(
    objective_func: Any, initial_params: np.ndarray, bounds: Bounds | None = None, options: Mapping | None = None
) -> Any:
    """campaign's least-squares engine `trf`. Options: those of the engine (`campaign engines`)."""
    from scipy.optimize import OptimizeResult

    from campaign.science import fit

    names = [p.name for p in objective_func.parameters]
    space = objective_func.problem.space
    start = {name: float(value) for name, value in zip(space.names, objective_func.base, strict=True)}
    start |= {name: float(value) for name, value in zip(names, initial_params, strict=True)}
    run = fit(objective_func.problem, "trf", start, engine_options={"max_steps": 500, **(options or {})})
    x = np.array([run.theta[name] for name in names])
    return OptimizeResult(
        x=x,
        fun=objective_func(x),
        nfev=run.n_evaluations,
        nit=run.n_steps,
        success=run.outcome == "converged",
        status={"converged": 0, "budget": 1}.get(run.outcome, 2),
        message=run.message or run.outcome,
    )


OPTIMIZERS: dict[str, Optimizer] = {"trf": trf, "minimize": minimize, "differential_evolution": differential_evolution}
BUILTIN_OPTIMIZERS = dict(OPTIMIZERS)


def library_of(method: str) -> tuple[str, str]:
    """(library, version) behind an optimiser."""
    from importlib.metadata import version

    if OPTIMIZERS.get(method) is not BUILTIN_OPTIMIZERS.get(method):
        return "registered", "unknown"
    library = "campaign" if method == "trf" else "scipy"
    return library, version(library)
