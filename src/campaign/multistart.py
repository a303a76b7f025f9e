"""Multi-start: one problem fitted from many places, the best fits refined, their minima compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.analysis.basins import Basins, Ended, basins_of
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.fitting import Fit, fits, space_of
from campaign.registry import ENGINES, load
from campaign.space.start_design import start_design

if TYPE_CHECKING:
    from campaign.problem.base import Problem

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
        """The fit with the lowest loss."""
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
    is computed, in one batch, and the better part `screen` of all starts is fitted, at least 3 of them; all fits are one
    batch of one program. The best `refine` fits are then fitted once more from where they ended, with tolerances of
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

    Checked: tests/unit/test_multistart.py.
    """
    if not 0 < screen <= 1:
        raise InvalidValue(f"`screen` is {screen}; it is the part of the starts that is fitted", hint="valid: 0 < … ≤ 1")
    space = space_of(problem, free=free, options=options)
    moved = _moved(problem, engine, space, vary)
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
        tight = dict(engine_options or {}) | (refine_options if refine_options is not None else _tight(engine, engine_options))
        again = fits(problem, engine, [_end(fit, space) for fit in found[:top]], engine_options=tight, **common)
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
        basins=basins_of_fits(found, [p.name for p in space if p.free]),
        scales=design.scales,
    )
