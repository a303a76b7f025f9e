"""Multi-start: one problem fitted from many places, the best fits refined, their minima compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.analysis.basins import Basins, Ended, basins_of
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.fitting import Fit, fits
from campaign.given import built
from campaign.registry import ENGINES, load
from campaign.space.start_design import start_design
from campaign.store.merit import merit
from campaign.work.jax_runtime import start_jax

if TYPE_CHECKING:
    from campaign.problem.base import Problem
    from campaign.space.theta import Parameter

LEAST = 3  # fits that screening leaves at least
TIGHT = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}  # of the refinement, where the engine's own are not tighter


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One place that a multi-start began at.

    Attributes:
        values: those that differ from the problem's initial ones.
        origin: "given" or "design".
        loss: there (what `screen_loss` says); NaN where the model has none, or where nothing was screened.
        is_fitted: screening kept it.
    """

    values: dict[str, float]
    origin: str
    loss: float
    is_fitted: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiStart:
    """What a multi-start found.

    Attributes:
        fits: all of them, the best first; those that were refined as they are after that.
        starts: all places, in the order given ones, design; `order[k]` is the start of ``fits[k]``.
        refined: how many of the best were fitted once more.
        basins: the minima that they ended in; None where the engine gives no errors, which distances need.
        scales: how each parameter was sampled: "log", "linear" or "prior".
    """

    fits: tuple[Fit, ...]
    starts: tuple[Start, ...]
    order: tuple[int, ...]
    refined: int
    basins: Basins | None
    scales: dict[str, str]

    @property
    def best(self) -> Fit:
        """The fit with the lowest loss, of those that are not degenerate."""
        return self.fits[0]


def multistart(
    problem: str | Problem,
    engine: str = "trf",
    n_starts: int = 10,
    *,
    starts: Sequence[Mapping[str, float]] = (),
    sampler: str = "lhs",
    scale: str | Mapping[str, str] = "auto",
    ranges: Mapping[str, tuple[float, float]] | None = None,
    vary: Sequence[str] | None = None,
    screen: float = 0.5,
    refine: int = 3,
    seed: int = 42,
    free: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
    refine_options: Mapping[str, Any] | None = None,
) -> MultiStart:
    """Fit one problem from many starts.

    Your own `starts` come first, then `n_starts` of a design (`campaign.space.start_design`). The loss at every start
    is computed, in one batch, and the better part `screen` of all starts is fitted, at least 3 of them, all in one
    program. The best `refine` fits are then fitted once more from where they ended, with tolerances of
    10⁻¹² or less; one that comes out worse stays as it was.

    Args:
        problem, options: as for `campaign.fit`.
        engine, engine_options: of the fits.
        sampler, scale, ranges: of the design, see `start_design`.
        vary: parameters that the design moves; None is all free ones, without those that `varpro` solves for.
        screen: part of the starts that is fitted; 1 fits all of them and evaluates none beforehand.
        refine: 0 leaves the fits as they are.
        refine_options: of the engine, in the refinement, in place of the tolerances above.
        seed: of the design, and the root seed of the runs.

    Raises:
        InvalidValue: no start; a part outside (0, 1]; no start at which the model has a loss.

    Checked: tests/unit/test_many_starts.py.
    """
    if not 0 < screen <= 1:
        raise InvalidValue(
            f"`screen` is {screen}; it is the part of the starts that is fitted", hint="valid: 0 < … ≤ 1"
        )
    start_jax()
    moved = _moved(built(problem, options), engine, free, vary)
    design = start_design(moved, n_starts, sampler=sampler, scale=scale, ranges=ranges, seed=seed)
    places = [dict(one) for one in starts] + list(design.points)
    if not places:
        raise InvalidValue("a multi-start without starts", hint="give `n_starts`, or `starts` of your own")
    common = {"seed": seed, "free": free, "options": options}
    losses = np.full(len(places), np.nan)
    kept = list(range(len(places)))
    if screen < 1:
        losses = screen_loss(problem, engine, places, engine_options=engine_options, **common)
        kept = _better(losses, screen)
    own = fits(problem, engine, [places[k] for k in kept], engine_options=engine_options, **common)
    ranked = sorted(range(len(own)), key=lambda i: _rank(own[i]))
    found, order = [own[i] for i in ranked], [kept[i] for i in ranked]
    top = min(refine, sum(fit.status == "ok" for fit in found))
    if top:
        tight = _tight(engine, engine_options) if refine_options is None else refine_options
        tight = {**(engine_options or {}), **tight}
        again = fits(problem, engine, [fit.theta for fit in found[:top]], engine_options=tight, **common)
        better = [_better_one(old, new) for old, new in zip(found[:top], again, strict=True)]
        pairs = sorted(zip([*better, *found[top:]], order, strict=True), key=lambda pair: _rank(pair[0]))
        found, order = [fit for fit, _ in pairs], [k for _, k in pairs]
    return MultiStart(
        fits=tuple(found),
        starts=tuple(
            Start(
                values=values,
                origin="given" if k < len(starts) else "design",
                loss=float(losses[k]),
                is_fitted=k in kept,
            )
            for k, values in enumerate(places)
        ),
        order=tuple(order),
        refined=top,
        basins=basins_of_fits(found),
        scales=design.scales,
    )


def screen_loss(
    problem: str | Problem,
    engine: str,
    places: Sequence[Mapping[str, float]],
    *,
    engine_options: Mapping[str, Any] | None = None,
    **common: Any,
) -> np.ndarray:
    """−ln L at places, in one batch; for `varpro` with the best linear parameters there. NaN where it has none."""
    if engine == "varpro":
        found = fits(problem, engine, places, engine_options={**(engine_options or {}), "max_steps": 1}, **common)
    else:
        found = fits(problem, "evaluate", places, **common)
    values = (np.nan if fit.status != "ok" or fit.loss is None else fit.loss for fit in found)
    return np.array([value if np.isfinite(value) else np.nan for value in values], np.float64)


def basins_of_fits(found: Sequence[Fit]) -> Basins | None:
    """The minima that fits of one problem ended in; None where none of them has a standard error."""
    done = [fit for fit in found if fit.status == "ok"]
    names = list(done[0].stderr) if done else []
    if not any(np.isfinite(value) for fit in done for value in fit.stderr.values()):
        return None
    return basins_of([_ended(fit, names) for fit in done], names)


def _ended(fit: Fit, names: Sequence[str]) -> Ended:
    errors = np.array([fit.stderr.get(name, np.nan) for name in names])
    covariance = fit.arrays.get("covariance", np.diag(errors**2))
    is_absolute = "p_value" in fit.metric or "reduced_chi2" not in fit.metric
    reached = {name.rpartition(":")[0] for name in fit.bounds_reached}
    return Ended(
        run_id=fit.run_id,
        theta=np.array([fit.theta[name] for name in names]),
        covariance=np.asarray(covariance, np.float64),
        chi2=fit.metric.get("chi2", 2.0 * fit.loss),
        unit=1.0 if is_absolute else fit.metric["reduced_chi2"],
        is_settled=fit.outcome == "converged",
        held=np.array([name in reached for name in names]),
    )


def _moved(problem: Problem, engine: str, free: Sequence[str] | None, vary: Sequence[str] | None) -> list[Parameter]:
    """The parameters that a design moves."""
    space = problem.space.with_free(tuple(free) if free is not None else None)
    names = list(space.free_names)
    if vary is not None:
        for name in vary:
            if name not in names:
                raise UnknownName(f"`{name}` in `vary` is no free parameter", hint=nearest(name, names))
        names = [name for name in names if name in vary]
    elif engine == "varpro":
        solved = {name for group in problem.linear() for name in group}
        names = [name for name in names if name not in solved]
    return [space[name] for name in names]


def _better(losses: np.ndarray, screen: float) -> list[int]:
    """The places with the lowest losses, in the order of the places."""
    known = np.flatnonzero(np.isfinite(losses))
    if not len(known):
        raise InvalidValue(
            f"the model has no finite loss at any of the {len(losses)} starts",
            hint="give `ranges` in which it has, or `starts` of your own",
        )
    n = max(LEAST, math.ceil(screen * len(losses)))
    return sorted(known[np.argsort(losses[known], kind="stable")][:n].tolist())


def _rank(fit: Fit) -> tuple[bool, bool, float]:
    """Failed ones last, before them those of another model than the stated one."""
    loss = np.inf if fit.loss is None or not np.isfinite(fit.loss) else fit.loss
    return fit.status != "ok", *merit(fit.outcome, loss)


def _tight(engine: str, options: Mapping[str, Any] | None) -> dict[str, float]:
    """The tolerances of the refinement that the engine knows, none wider than they were."""
    given = load(ENGINES, engine).options(**dict(options or {}))
    return {name: min(value, getattr(given, name)) for name, value in TIGHT.items() if hasattr(given, name)}


def _better_one(old: Fit, new: Fit) -> Fit:
    """The refined fit, unless it is worse, or no minimum where the old one was."""
    is_worse = _rank(new) > _rank(old) or (old.outcome == "converged" and new.outcome != "converged")
    return old if is_worse else new
