"""`gd` and `pgd`: descent along the gradient, with one rate or with a rate for each coordinate from its curvature."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue_descent import require_blocks, require_layout
from campaign.engines.chains import factor_at, schedule_of
from campaign.engines.curved import Curved, Look, Sources, Weights, is_estimate, is_negative
from campaign.engines.derivative import scale_of_u
from campaign.engines.diagonal import largest
from campaign.engines.direction import Direction, Slope
from campaign.engines.families import Blocks, by_coordinate, membership, names_of, norms
from campaign.engines.linear import only_if
from campaign.engines.mapped import MODE
from campaign.engines.objective import box, cost, estimates, left_to_gain
from campaign.engines.progress import SHOWN, Limits, Progress, Seen, after, at_start, is_finite, metrics_of, notes_of
from campaign.engines.rates import Guards, Rates, Rule, rates
from campaign.errors import InvalidValue
from campaign.problem.target import Target
from campaign.space.modes import Modes

_LOOK = 5  # steps between two looks at the whole curvature
_SAFE, _SAFE_WHITENED = 0.9, 0.7  # of 1/λ̂, the rate that "auto" means
_PARAMETER = "parameter"


class Place(NamedTuple):
    """State of a run.

    Attributes:
        u: the last point with a finite loss and gradient.
        there: the point that comes next.
        curved, rates, base_lr: by which the next step goes.
        largest: λ̂, where it was estimated.
        direction: state of the direction.
    """

    u: Float[Array, " d"]
    there: Float[Array, " d"]
    curved: Curved
    rates: Rates
    base_lr: Float[Array, ""]
    largest: Float[Array, ""]
    direction: Any
    progress: Progress


class Guarding(NamedTuple):
    """Blocks and what is said of their rates. Static: tuples."""

    blocks: Blocks = ()
    factor: tuple[tuple[str, float], ...] = ()
    clip: tuple[tuple[str, tuple[float, float]], ...] = ()
    everywhere: tuple[float, float] = (0.0, math.inf)

    def of(self, target: Target) -> Guards:
        bounds = [{name: pair[side] for name, pair in self.clip} for side in (0, 1)]
        low, high = (by_coordinate(target, self.blocks, own, self.everywhere[k]) for k, own in enumerate(bounds))
        return Guards(by_coordinate(target, self.blocks, dict(self.factor), 1.0), low, high)


class Descent(AbstractEngine):
    """u ← u − step, with step = η(t) · lr ⊙ g and momentum, clipped to the bounds of u. One evaluation a step.

    lr = base_lr · factor of the block · s² (max(|c|, floor) + eps)^−power, clipped; c is a diagonal curvature of
    −(ln L + ln prior), or of −ln L, in coordinates in units of s: taken at the start, smoothed over refreshes, blended
    of two sources. ``base_lr: auto`` is 0.9/λ̂, λ̂ the largest eigenvalue of P^½ H P^½ at the start by 20 power
    iterations, P the preconditioner; 0.7/λ̂ in whitened modes.

    u is theta where no parameter has a transform, and `log` or `logit` of it where it has. A step that would leave the
    bounds ends on them, and a coordinate on a bound counts as converged while the gradient pushes outward.

    Ends as `progress.after` says: converged where ½ Σ g²/c is below `tol`, and ½ gᵀH⁻¹g with the whole curvature H at
    that point below 1000·`tol`; stalled where nothing is gained and that is not shown; diverged where the loss runs
    away.

    Trace: ``theta`` is where ``loss`` and its gradient were evaluated; the first row is the start, the last the result.
    ``grad_norm``; ``step_norm`` of the step that led there; ``base_lr`` with the schedule, and on request ``lr``, of
    the step that goes on from there; ``accepted``: loss and gradient are finite. On request ``grad``, and
    ``block_grad_norm``, whose squares add up to ``grad_norm``².
    Result: as `lbfgs` gives it; arrays ``curvature`` (in units of ``scale``: what rates are computed from),
    ``curvature_raw`` (of the first source, in u, with its sign), ``precond``, ``lr_vec``, ``lr_scale`` =
    lr_vec/base_lr, ``clipped``, ``floored``; with refreshes the first 64 of them.

    Source: Nesterov 1983, Sov. Math. Dokl. 27, 372; Sutskever et al. 2013, ICML (form of the momentum).
    Checked: tests/oracle/test_descent.py against closed forms and optax, numbered as in the specification.
    """

    base_lr: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    limit: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    tol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    ftol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    weights: Weights
    direction: Direction
    user_curvature: Float[Array, " d"] | None
    user_rates: Float[Array, " d"] | None
    user_names: tuple[str, ...] | None = eqx.field(static=True)
    is_auto: bool = eqx.field(static=True)
    sources: Sources = eqx.field(static=True)
    rule: Rule = eqx.field(static=True)
    guarding: Guarding = eqx.field(static=True)
    schedule: str | None = eqx.field(static=True)
    objective: str = eqx.field(static=True)
    patience: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Place:
        self._check(target)
        u = jnp.clip(target.start(), *box(target, self.objective))
        curved = self._look.at_start(target, u)
        guards = self.guarding.of(target)
        own, strongest = self.base_lr.astype(u.dtype), jnp.zeros((), u.dtype)
        if self.is_auto:
            precond = rates(curved.mixed(self.weights), curved.scale, 1.0, guards, self.rule).precond
            strongest = largest(target, u, self.objective, jnp.where(guards.factor > 0, precond, 0.0))
            safe = _SAFE_WHITENED if isinstance(target.map, Modes) and target.map.is_whitened else _SAFE
            own = jnp.where(strongest > 0, safe / jnp.where(strongest > 0, strongest, 1.0), 0.0)
        return Place(
            u=u,
            there=u,
            curved=curved,
            rates=self._rates(curved, own, guards),
            base_lr=own,
            largest=strongest,
            direction=self.direction.init(u),
            progress=at_start(u.dtype),
        )

    def step(self, target: Target, state: Place) -> tuple[Place, Info]:
        u, t = state.there, state.progress.n
        value, slope = jax.value_and_grad(lambda v: cost(target, v, self.objective))(u)
        curved = self._look.after(target, u, slope, t, state.curved)
        own = state.rates
        if not self.sources.is_fixed and self.user_rates is None:
            own = self._rates(curved, state.base_lr, self.guarding.of(target))
        factor = factor_at(schedule_of(self.schedule), t, u.dtype)
        base_lr = state.base_lr * factor
        given = Slope(slope, u, own, base_lr, None if self.schedule is None else factor)
        step, direction = self.direction.move(given, state.direction)
        typical = scale_of_u(target)
        reach = self.limit * typical
        low, high = box(target, self.objective)
        there = jnp.clip(u - jnp.clip(step, -reach, reach), low, high)

        is_held = ((u <= low) & (slope > 0)) | ((u >= high) & (slope < 0))
        gain = jnp.where(is_held | (slope == 0), 0.0, curved.inverse * slope * slope)
        seen = Seen(
            value=value,
            slope=slope,
            left=0.5 * jnp.sum(gain),
            step=(u - state.u) / typical,
            is_flat=jnp.all(curved.raw == 0) & (not target.is_mean),
            is_floored=own.floored,
        )
        finite = is_finite(seen)
        moved = u - state.u
        progress = self._shown(
            target, u, slope, after(state.progress, seen, Limits(self.tol, self.ftol, self.patience))
        )
        new = Place(
            u=jnp.where(finite, u, state.u),
            there=jnp.where(finite, there, u),
            curved=curved,
            rates=own,
            base_lr=state.base_lr,
            largest=state.largest,
            direction=direction,
            progress=progress,
        )
        info = {
            "loss": value,
            "theta": target.theta(u),
            "grad_norm": jnp.sqrt(jnp.sum(slope * slope)),
            "step_norm": jnp.sqrt(jnp.sum(moved * moved)),
            "base_lr": base_lr,
            "accepted": finite,
            "grad": slope,
            "lr": own.lr_vec if self.schedule is None else factor * own.lr_vec,
            "block_grad_norm": norms(slope, membership(target, self.guarding.blocks)),
        }
        return new, info

    def _shown(self, target: Target, u: Array, slope: Array, seems: Progress) -> Progress:
        """Converged only where the whole curvature agrees: correlated parameters have more to gain than each alone.

        It is asked every 5 steps, and at the last one.
        """
        if target.is_mean:
            return seems
        is_arrived = seems.outcome == Outcome.CONVERGED
        is_time = (seems.n % _LOOK == 0) | (seems.n > self.max_steps)

        def agrees() -> Bool[Array, ""]:
            gain, is_minimum = left_to_gain(target, u, slope, self.objective)
            return is_minimum & (gain < SHOWN * self.tol)

        shown = only_if(is_arrived & is_time, agrees, jnp.asarray(False))
        stands = is_time & (seems.n - 1 - seems.mark_step >= self.patience)
        other = jnp.where(stands, Outcome.STALLED, Outcome.RUNNING)
        return seems._replace(outcome=jnp.where(is_arrived & ~shown, other, seems.outcome).astype(jnp.int32))

    def outcome(self, state: Place) -> Int[Array, ""]:
        return state.progress.outcome

    def finish(self, target: Target, state: Place) -> Result:
        curved, own = state.curved, state.rates
        names, n_probes = self.sources.names, self.sources.n_probes
        estimated = [is_estimate(target, name, n_probes) for name in names]
        arrays = {
            "scale": curved.scale,
            "curvature": curved.mixed(self.weights),
            "curvature_raw": curved.raw[0],
            "precond": own.precond,
            "lr_vec": own.lr_vec,
            "lr_scale": own.lr_vec / state.base_lr,
            "clipped": own.clipped,
            "floored": own.floored,
        }
        arrays |= {"curvature_error": curved.error} if any(estimated) else {}
        if self.sources.refresh_every is not None:
            arrays |= {"curvature_history": curved.history, "refresh_steps": curved.steps}
        looks = self._look.n_evaluations(target) * (1 + curved.n_refreshes)
        looks = looks + (target.n_coordinates if self.is_auto else 0)
        found = estimates(
            target,
            state.u,
            self.objective,
            state.progress.outcome == Outcome.CONVERGED,
            n_evaluations=state.progress.n + looks,
            arrays=arrays,
        )
        metrics = {
            "base_lr": state.base_lr,
            "n_negative": _count(is_negative(curved)),
            "n_floored": _count(own.floored),
            "n_clipped": _count(own.clipped),
            "n_refreshes": curved.n_refreshes,
            "exact": jnp.asarray(not any(estimated), jnp.int32),
        }
        if "hutchinson_hessian_diag" in names:
            metrics["n_probes"] = jnp.asarray(n_probes if any(estimated) else target.n_coordinates, jnp.int32)
        if self.is_auto:
            metrics["lambda_max"] = state.largest
        return found._replace(metrics={**found.metrics, **metrics, **metrics_of(state.progress)})

    def notes(self, metrics, names=()) -> list[str]:
        return notes_of(metrics, names)

    def fields(self, target: Target) -> dict[str, Field]:
        axis = _PARAMETER if target.map.is_elementwise else MODE
        scalars = dict.fromkeys(("loss", "grad_norm", "step_norm", "base_lr", "accepted"), Field())
        asked = dict.fromkeys(("grad", "lr"), Field((axis,), is_default=False))
        once = ("scale", "curvature", "curvature_raw", "curvature_error", "precond", "lr_vec", "lr_scale")
        return {
            **scalars,
            **asked,
            **dict.fromkeys((*once, "clipped", "floored"), Field((axis,), once=True)),
            "theta": Field((_PARAMETER,)),
            "block_grad_norm": Field(("block",), is_default=False),
            "curvature_history": Field(("refresh", axis), once=True),
            "refresh_steps": Field(("refresh",), once=True),
            "covariance": Field((_PARAMETER, "parameter_b"), once=True),
        }

    @property
    def _look(self) -> Look:
        return Look(self.sources, self.objective, self.user_curvature, self.weights)

    def _rates(self, curved: Curved, base_lr: Float[Array, ""], guards: Guards) -> Rates:
        if self.user_rates is not None:
            none = jnp.zeros(self.user_rates.shape, bool)
            given = self.user_rates.astype(curved.scale.dtype)
            return Rates(given, given, none, none)
        return rates(curved.mixed(self.weights), curved.scale, base_lr, guards, self.rule)

    def _check(self, target: Target) -> None:
        if target.n_coordinates == 0:
            raise InvalidValue("the engine has no free parameter to move", hint="name some in `problem.free`")
        own = self.guarding
        require_blocks(tuple(name for name, _ in (*own.factor, *own.clip)), names_of(target, own.blocks))
        if target.is_mean and self.is_auto:
            raise InvalidValue(
                f"ln L of `{target.name}` is a mean over the data, which says nothing of rates", hint="give `base_lr`"
            )
        if self.user_names is not None:
            is_theta = target.map.is_elementwise
            names = target.space.names if is_theta else tuple(f"z[{i}]" for i in range(target.n_coordinates))
            require_layout("lr_vec" if self.user_rates is not None else "user_curvature", self.user_names, names)


def _count(flags: Bool[Array, " d"]) -> Int[Array, ""]:
    return jnp.sum(flags).astype(jnp.int32)
