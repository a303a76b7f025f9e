"""`cmaes`: a global search in a box by covariance matrix adaptation, with restarts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue_cmaes import PRESETS, CmaesOptions
from campaign.engines.cmaes_box import Box
from campaign.engines.cmaes_cloud import Axes, Cloud, is_spent, told
from campaign.engines.cmaes_end import fitter_of, found, refined
from campaign.engines.cmaes_generation import Generation, Size
from campaign.engines.cmaes_restarts import Ledger, next_descent
from campaign.engines.cmaes_searched import Searched
from campaign.engines.linear import only_if
from campaign.engines.sampling import threefry
from campaign.errors import InvalidValue
from campaign.problem.target import Target

SAME = 1e-3  # of a unit of ln L: minima that differ less are one, to data with known errors
GROWTH = 16  # the update is compiled for λ₀, 16 λ₀ and the most points of a generation


class Search(NamedTuple):
    """State of a run. Everything random follows from `key`, `steps` and the number of descents.

    Attributes:
        history: lowest cost of each generation of this descent, the last one first.
        lowest: cost of this descent; used: its evaluations.
        x, cost: the best point of all, coordinates of all free parameters, and there.
        confirmed: descents that have ended as low as that.
        n_evaluations: of points that count; steps: generations.
    """

    cloud: Cloud
    ledger: Ledger
    history: Float[Array, " H"]
    lowest: Float[Array, ""]
    used: Int[Array, ""]
    x: Float[Array, " d"]
    cost: Float[Array, ""]
    confirmed: Int[Array, ""]
    n_evaluations: Int[Array, ""]
    steps: Int[Array, ""]
    key: Array
    outcome: Int[Array, ""]


class Cmaes(AbstractEngine):
    """Minimise −ln L or −ln posterior over a box by CMA-ES with BIPOP restarts. A step is a generation.

    The cloud N(m, σ²C) moves in the unit cube of the bounds of u: a parameter with a logarithmic transform is searched
    in its logarithm. At the walls the function is mirrored (repair by reflection, with no penalty): a point outside
    costs what its mirror image inside costs. Points where the cost is not finite count as infinitely bad.

    The first descent begins at the start, which is its first point, so that the result is never worse than it; each
    further one begins anywhere in the box. A descent ends where its costs of late (10 + 30 d/λ generations) and all of
    its last generation differ by at most `tolfun`, or the rounding of the cost; where the cloud is nowhere wider than
    `tolx` or has a condition number above 10¹⁴; after `generations`; when a descent with few points has used its share.

    Ends as `converged` when the cost is at most `ftarget`; when `confirmations` descents have ended at the best minimum
    (within 10⁻³ of a unit of ln L; of χ²/dof of it where errors are unknown), one with twice the points among all that
    ended unless one confirmation is enough; without restarts, when the descent ended by itself. Otherwise as `budget`.
    That a lower minimum was missed cannot be excluded with any number of descents.

    Parameters that the problem says are linear (`Problem.linear`) are not searched: at every point the best ones inside
    their bounds are solved for (`campaign.engines.cmaes_searched`).

    λ differs from descent to descent: points are evaluated `batch` at a time, as many batches as there are, so that one
    program serves all of them.

    Result: no errors, unless `refine`: then bounded least squares (`trf`, `varpro`) goes on from the best point, and
    all errors are its own (`campaign.engines.cmaes_end`).

    Trace: ``loss`` = the lowest cost so far, ``theta`` there, ``sigma`` (widest standard deviation, part of the box),
    ``popsize``, ``descent`` (from 0), ``generation_loss``, ``n_evaluations``.

    Source: Hansen 2016, arXiv:1604.00772 (algorithm, parameters, ends); Hansen 2009, GECCO companion, 2389 (BIPOP).
    Checked: tests/oracle/test_cmaes.py, against pycma.
    """

    sigma: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    tolfun: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    tolx: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    ftarget: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    refine_tolerance: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    generations: int = eqx.field(static=True)
    max_evaluations: int = eqx.field(static=True)
    max_restarts: int = eqx.field(static=True)
    confirmations: int = eqx.field(static=True)
    popsize: int | None = eqx.field(static=True)
    batch: int | None = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    objective: str = eqx.field(static=True)
    eliminate: bool | None = eqx.field(static=True)
    refine: str = eqx.field(static=True)
    refine_steps: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def first_popsize(self, target: Target) -> int:
        """λ₀ = 4 + ⌊3 ln d⌋ unless given, for the target that is searched. Static."""
        return self.popsize or 4 + int(3 * math.log(target.n_coordinates))

    def init(self, target: Target, key: PRNGKeyArray) -> Search:
        if target.n_coordinates == 0:
            raise InvalidValue("engine `cmaes` has no free parameter to move", hint="name some in `problem.free`")
        if self.refine != "none" and not target.has_residuals:
            raise InvalidValue(
                f"engine `cmaes` is to refine by least squares, and `{target.name}` gives no residuals",
                hint='set `engine.refine` to "none"; `lbfgs` can follow in a stage of its own',
            )
        small = self._searched(target).target
        box, d = Box.of(small, self.objective, self.reach), small.n_coordinates
        n, zero = self.first_popsize(small), jnp.zeros((), jnp.int32)
        infinite = jnp.full((), jnp.inf, target.base.dtype)
        return Search(
            cloud=Cloud.at(box.place(small.start()), self.sigma),
            ledger=Ledger.first(n, self.max_evaluations),
            history=jnp.full(10 + math.ceil(30 * d / n), jnp.inf, target.base.dtype),
            lowest=infinite,
            used=zero,
            x=target.start(),
            cost=infinite,
            confirmed=zero,
            n_evaluations=zero,
            steps=zero,
            key=jax.random.key_data(threefry(key)),
            outcome=zero,
        )

    def _searched(self, target: Target) -> Searched:
        return Searched.of(target, self.objective, self.eliminate)

    def step(self, target: Target, state: Search) -> tuple[Search, Info]:
        searched = self._searched(target)
        small = searched.target
        box = Box.of(small, self.objective, self.reach)
        axes = Axes.of(state.cloud)
        points = self._points(searched, box, state, axes)
        popsize, cloud = state.ledger.popsize, self._told(small, state, axes, points)
        top = jnp.argmin(points.cost)
        lowest = points.cost[top]
        better = lowest < state.cost
        history = jnp.concatenate([lowest[None], state.history[:-1]])
        state = state._replace(
            cloud=cloud,
            history=history,
            lowest=jnp.minimum(state.lowest, lowest),
            used=state.used + popsize,
            x=only_if(better, lambda: searched.coordinates(points.u[top]), state.x),
            cost=jnp.where(better, lowest, state.cost),
            confirmed=jnp.where(lowest < state.cost - self._same(target, lowest), 0, state.confirmed),
            n_evaluations=state.n_evaluations + popsize,
            steps=state.steps + 1,
        )
        info = {
            "loss": state.cost,
            "theta": target.theta(state.x),
            "sigma": jnp.max(cloud.widths),
            "popsize": popsize,
            "descent": state.ledger.n_large + state.ledger.n_small,
            "generation_loss": lowest,
            "n_evaluations": state.n_evaluations,
        }
        worst = jnp.max(jnp.where(jnp.arange(points.cost.shape[0]) < popsize, points.cost, -jnp.inf))
        return self._turned(target, small, state, self._has_ended(state, axes, worst)), info

    def _points(self, searched: Searched, box: Box, state: Search, axes: Axes) -> Generation:
        """Draw and evaluate a generation; the very first point is the start itself."""
        popsize = self.first_popsize(searched.target)
        places = popsize * 2**self.max_restarts
        batch = min(self.batch or popsize, places)
        return Generation.drawn(
            searched,
            box,
            (state.cloud, axes),
            Size(state.ledger.popsize, batch, -(-places // batch) * batch),
            jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), state.steps),
            state.steps == 0,
        )

    def _told(self, target: Target, state: Search, axes: Axes, points: Generation) -> Cloud:
        """The next cloud, computed with no more places than the generation needs."""
        n, places = self.first_popsize(target), points.cost.shape[0]
        sizes = sorted({min(n * GROWTH**k, places) for k in range(3)} | {places})

        def of(size: int):
            return lambda: told(state.cloud, axes, state.ledger.popsize, points.y[:size], points.cost[:size])

        if len(sizes) == 1:
            return of(places)()
        which = jnp.sum(state.ledger.popsize > jnp.array(sizes[:-1]))
        return jax.lax.switch(which, [of(size) for size in sizes])

    def _same(self, target: Target, value: Float[Array, ""]) -> Float[Array, ""]:
        """Costs that differ by no more are one minimum's."""
        if target.has_residuals and not target.is_absolute:
            dof = jnp.maximum(target.n_data - target.n_coordinates - target.n_profiled, 1)
            return SAME * 2.0 * jnp.abs(value) / dof
        return jnp.full_like(value, SAME)

    def _has_ended(self, state: Search, axes: Axes, worst: Float[Array, ""]) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
        """Whether the descent has ended, and whether by itself."""
        d, popsize = axes.lengths.shape[0], state.ledger.popsize
        generation = state.cloud.generation
        long = 10 + jnp.ceil(30 * d / popsize).astype(jnp.int32)
        age = jnp.arange(state.history.shape[0])
        recent = age < long
        high = jnp.max(jnp.where(recent, state.history, -jnp.inf))
        low = jnp.min(jnp.where(recent, state.history, jnp.inf))
        level = self.tolfun + 4.0 * jnp.finfo(low.dtype).eps * jnp.abs(low)
        is_flat = (generation >= long) & (high - low <= level) & (worst - state.history[0] <= level)
        is_nowhere = ~jnp.isfinite(state.history[0])
        by_itself = is_flat | is_spent(state.cloud, axes, self.tolx)
        is_over = (generation >= self.generations) | (state.used >= state.ledger.limit)
        return by_itself | is_over | is_nowhere, by_itself & ~is_nowhere

    def _turned(
        self, target: Target, small: Target, state: Search, ended: tuple[Bool[Array, ""], Bool[Array, ""]]
    ) -> Search:
        """What follows a generation: the next one, another descent, or the end."""
        has_ended, by_itself = ended
        agrees = jnp.isfinite(state.lowest) & (state.lowest <= state.cost + self._same(target, state.cost))
        confirmed = state.confirmed + jnp.where(has_ended & agrees, 1, 0)
        number = state.ledger.n_large + state.ledger.n_small
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key, impl="threefry2x32"), -1 - number)
        own, elsewhere = jax.random.split(key)
        ledger, width = next_descent(state.ledger, state.used, self.first_popsize(small), self.max_evaluations, own)
        place = jax.random.uniform(elsewhere, state.cloud.mean.shape, state.cloud.mean.dtype)
        fresh = state._replace(
            cloud=Cloud.at(place, self.sigma * width),
            ledger=ledger,
            history=jnp.full_like(state.history, jnp.inf),
            lowest=jnp.full_like(state.lowest, jnp.inf),
            used=jnp.zeros_like(state.used),
        )
        following = jax.tree.map(lambda new, old: jnp.where(has_ended, new, old), fresh, state)
        is_over = has_ended & ((ledger.n_large > self.max_restarts) | (state.n_evaluations >= self.max_evaluations))
        doubled = ledger.n_large >= min(self.confirmations, 2)
        enough = jnp.asarray(self.confirmations > 0) & (confirmed >= self.confirmations) & doubled & has_ended
        if self.max_restarts == 0:
            enough = by_itself
        converged = jnp.isfinite(state.cost) & ((state.cost <= self.ftarget) | enough)
        end = jnp.where(is_over, Outcome.BUDGET, Outcome.RUNNING)
        end = jnp.where(is_over & ~jnp.isfinite(state.cost), Outcome.NONFINITE, end)
        outcome = jnp.where(converged, Outcome.CONVERGED, end).astype(jnp.int32)
        return following._replace(confirmed=confirmed, outcome=outcome)

    def outcome(self, state: Search) -> Int[Array, ""]:
        """NONFINITE when everything is used up and no point has ever had a cost."""
        return state.outcome

    def finish(self, target: Target, state: Search) -> Result:
        metrics = {
            "n_descents": state.ledger.n_large + state.ledger.n_small,
            "n_large": state.ledger.n_large,
            "confirmed": state.confirmed,
        }
        result = found(target, self.objective, state.x, state.cost, state.n_evaluations, self.tolx, metrics)
        if self.refine == "none":
            return result
        fitter = fitter_of(self.refine, self.refine_tolerance, self.refine_steps, target.base.dtype)
        return refined(target, result, fitter)

    def notes(self, metrics: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[str] | None:
        """How often the best minimum was found, where it was once only; a refinement that gave nothing."""
        is_open = 1 - metrics.get("refine_converged", np.ones_like(metrics["n_descents"]))
        return [
            "; ".join(
                (
                    *([f"the best minimum was found by one of {int(n)} descents"] if n > 1 and known == 1 else ()),
                    *(["the refinement has not converged: no errors"] if unsure else ()),
                )
            )
            for n, known, unsure in zip(metrics["n_descents"], metrics["confirmed"], is_open, strict=True)
        ]

    def fields(self, target: Target) -> dict[str, Field]:
        scalars = ("loss", "sigma", "popsize", "descent", "generation_loss", "n_evaluations")
        covariance = {} if self.refine == "none" else {"covariance": Field(("parameter", "parameter_b"), once=True)}
        return dict.fromkeys(scalars, Field()) | {"theta": Field(("parameter",))} | covariance


def build(options: CmaesOptions) -> Cmaes:
    given = options.model_dump()
    for name in ("preset", "warm"):
        del given[name]
    given["sigma"] = options.width
    generations, evaluations = PRESETS[options.preset]
    given["generations"] = options.generations or generations
    given["max_evaluations"] = options.max_evaluations or evaluations
    given["ftarget"] = -jnp.inf if options.ftarget is None else options.ftarget
    return Cmaes(**given)
