"""`lbfgs`: minimum of −ln posterior or −ln L in a box by limited-memory BFGS, one model evaluation a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import LbfgsOptions
from campaign.engines.curved import scale_for
from campaign.engines.mapped import mapped, own_options
from campaign.engines.objective import box, cost, estimates
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_ARMIJO, _WOLFE = 1e-4, 0.9  # decrease and curvature that a step needs (Nocedal & Wright 2006, p. 62)
_TRIALS = 40  # evaluations of a line search before it is given up
_CURVED = 2.2e-16  # pairs with s·y below this part of y·y are not taken (Byrd et al. 1995, p. 1193)


class Search(NamedTuple):
    """State of a run, in z = u / width.

    Attributes:
        z, value, slope: the best point, its cost and gradient; the cost is infinite before the first evaluation.
        direction: where the line search goes from there.
        step, low, high: its next step, and between which steps it looks.
        trials: evaluations in this line search.
        s, y: the last changes of place and gradient, oldest first; zeros where there are none.
        width: of a unit of z in u.
        slope_norm: largest component of the projected gradient.
        gain: what the last step gained, relative to max(|cost|, 1).
        first: cost at the start.
        evaluations, outcome: so far.
    """

    z: Float[Array, " d"]
    value: Float[Array, ""]
    slope: Float[Array, " d"]
    direction: Float[Array, " d"]
    step: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    trials: Int[Array, ""]
    s: Float[Array, "m d"]
    y: Float[Array, "m d"]
    width: Float[Array, " d"]
    slope_norm: Float[Array, ""]
    gain: Float[Array, ""]
    first: Float[Array, ""]
    evaluations: Int[Array, ""]
    outcome: Int[Array, ""]


class Lbfgs(AbstractEngine):
    """Projected limited-memory BFGS with a weak Wolfe line search (bisection).

    The direction is −H g on the parameters that are free to move (not on a bound with the gradient pushing out), with H
    from the last `memory` steps; trial points are clipped to the bounds of u. A step of the engine is one evaluation of
    cost and gradient, so the compiled program contains the model once; the first evaluates the start.

    z is u in units of a typical change of each parameter; of 1/√(Gauss–Newton diagonal at the start) with
    ``scaling = "gn_diag"``; or u itself.

    The cost is −(ln L + ln prior in theta), ``objective = "posterior"``, or −ln L, ``"likelihood"``.

    Ends as `converged` when no component of the projected gradient, per typical change of its parameter, exceeds
    `gtol`·√max(|cost|, 1), or when two steps in turn gain at most `ftol`·max(|cost|, 1) and the gradient is at most
    10·√(ftol·max(|cost|, 1)); as `stalled` when a line search finds no lower point, or steps gain nothing with a larger
    gradient; as `nonfinite` when the start has no cost or gradient.

    Trace: ``loss`` = the cost of the best point, ``theta`` there, ``grad_norm``.
    Result: theta, its −ln L as loss, ``metric.log_posterior``; errors and covariance from the curvature of the
    posterior (Laplace), none where the run did not converge.

    Source: Nocedal & Wright 2006, Numerical Optimization, alg. 7.4; line search: Lewis & Overton 2013, Math. Program.
    141, 135, alg. 4.6; projection: Bertsekas 1982, SIAM J. Control Optim. 20, 221.
    Checked: tests/oracle/test_lbfgs.py against scipy's L-BFGS-B, closed forms and a box.
    """

    ftol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    gtol: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    memory: int = eqx.field(static=True)
    objective: str = eqx.field(static=True)
    scaling: str = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> Search:
        d = target.n_coordinates
        if d == 0:
            raise InvalidValue("engine `lbfgs` has no free parameter to move", hint="name some in `problem.free`")
        dtype = target.base.dtype
        start = jnp.clip(target.start(), *box(target, self.objective))
        width = scale_for(target, start, "gn" if self.scaling == "gn_diag" else self.scaling, self.objective)
        z = start / width
        infinite, nothing = jnp.full((), jnp.inf, dtype), jnp.zeros((), dtype)
        return Search(
            z=z,
            value=infinite,
            slope=jnp.zeros(d, dtype),
            direction=jnp.zeros(d, dtype),
            step=nothing,
            low=nothing,
            high=infinite,
            trials=jnp.zeros((), jnp.int32),
            s=jnp.zeros((self.memory, d), dtype),
            y=jnp.zeros((self.memory, d), dtype),
            width=width,
            slope_norm=infinite,
            gain=infinite,
            first=infinite,
            evaluations=jnp.zeros((), jnp.int32),
            outcome=jnp.zeros((), jnp.int32),
        )

    def step(self, target: Target, state: Search) -> tuple[Search, Info]:
        scale = state.width
        low, high = (bound / scale for bound in box(target, self.objective))
        z = jnp.clip(state.z + state.step * state.direction, low, high)
        value, slope = jax.value_and_grad(lambda z: cost(target, z * scale, self.objective))(z)
        is_finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope))
        is_first = state.evaluations == 0

        moved = z - state.z
        descent = jnp.dot(state.slope, moved)
        is_clipped = jnp.any(z != state.z + state.step * state.direction)
        is_lower = is_finite & (value <= state.value + _ARMIJO * descent) & (value < state.value)
        is_flat = is_clipped | (jnp.dot(slope, moved) >= _WOLFE * descent)
        accept = is_first | (is_lower & is_flat)
        trials = state.trials + 1
        # The search has no more room: a lower point that is not flat enough is better than none.
        is_over = ~accept & (trials >= _TRIALS)
        taken = accept | (is_over & is_lower)

        s, y = self._remembered(state, moved, slope - state.slope, taken & ~is_first)
        at = jnp.where(taken, z, state.z)
        value_at = jnp.where(taken, value, state.value)
        slope_at = jnp.where(taken, slope, state.slope)
        is_free = ~(((at <= low) & (slope_at > 0)) | ((at >= high) & (slope_at < 0)))
        norm = jnp.max(jnp.abs(jnp.where(is_free, slope_at, 0.0)))
        direction = jnp.where(taken, _direction(s, y, slope_at, is_free), state.direction)
        size = jnp.sqrt(jnp.dot(direction, direction))
        first_step = jnp.where(jnp.any(s != 0), 1.0, jnp.minimum(1.0, 1.0 / jnp.where(size > 0, size, 1.0)))

        # bisection: too far, or lower but still falling
        new_low = jnp.where(is_lower, state.step, state.low)
        new_high = jnp.where(is_lower, state.high, state.step)
        tried = jnp.where(jnp.isfinite(new_high), 0.5 * (new_low + new_high), 2.0 * new_low)

        unit = jnp.maximum(jnp.abs(value_at), 1.0)
        gain = jnp.where(taken & ~is_first, (state.value - value) / unit, state.gain)
        is_level = taken & ~is_first & (gain <= self.ftol) & (state.gain <= self.ftol)
        converged = taken & (
            (norm <= self.gtol * jnp.sqrt(unit)) | (is_level & (norm <= jnp.sqrt(self.ftol * unit) * 10.0))
        )
        stalled = (is_over & ~taken) | (is_level & ~converged)
        outcome = jnp.where(
            is_first & ~is_finite,
            Outcome.NONFINITE,
            jnp.where(converged, Outcome.CONVERGED, jnp.where(stalled, Outcome.STALLED, Outcome.RUNNING)),
        )
        state = Search(
            z=at,
            value=value_at,
            slope=slope_at,
            direction=direction,
            step=jnp.where(taken, first_step, tried),
            low=jnp.where(taken, 0.0, new_low),
            high=jnp.where(taken, jnp.inf, new_high),
            trials=jnp.where(taken, 0, trials).astype(jnp.int32),
            s=s,
            y=y,
            width=scale,
            slope_norm=jnp.where(taken, norm, state.slope_norm),
            gain=gain,
            first=jnp.where(is_first, value, state.first),
            evaluations=state.evaluations + 1,
            outcome=outcome.astype(jnp.int32),
        )
        info = {"loss": state.value, "theta": target.theta(state.z * scale), "grad_norm": state.slope_norm}
        return state, info

    def outcome(self, state: Search) -> Int[Array, ""]:
        return state.outcome

    def finish(self, target: Target, state: Search) -> Result:
        u = state.z * state.width
        is_shown = state.outcome == Outcome.CONVERGED
        return estimates(target, u, self.objective, is_shown, n_evaluations=state.evaluations)

    def fields(self, target: Target) -> dict[str, Field]:
        return {
            "loss": Field(),
            "theta": Field(("parameter",)),
            "grad_norm": Field(),
            "covariance": Field(("parameter", "parameter_b"), once=True),
        }

    def _remembered(self, state: Search, s: Array, y: Array, taken: Bool[Array, ""]) -> tuple[Array, Array]:
        keep = taken & (jnp.dot(s, y) > _CURVED * jnp.dot(y, y))
        pairs = zip((state.s, state.y), (s, y), strict=True)
        new_s, new_y = (jnp.where(keep, jnp.concatenate([old[1:], new[None]]), old) for old, new in pairs)
        return new_s, new_y


def _direction(s: Float[Array, "m d"], y: Float[Array, "m d"], slope: Array, is_free: Bool[Array, " d"]) -> Array:
    """−H g on the free parameters by the two loops over the pairs; steepest descent where it does not descend."""
    s, y = s * is_free[None, :], y * is_free[None, :]
    g = jnp.where(is_free, slope, 0.0)
    curvature = jnp.sum(s * y, axis=1)
    rho = jnp.where(curvature > 0, 1.0 / jnp.where(curvature > 0, curvature, 1.0), 0.0)

    def back(q: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        s, y, rho = pair
        alpha = rho * jnp.dot(s, q)
        return q - alpha * y, alpha

    def forth(q: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        s, y, rho, alpha = pair
        return q + s * (alpha - rho * jnp.dot(y, q)), None

    q, alpha = jax.lax.scan(back, g, (s, y, rho), reverse=True)
    newest = jnp.dot(y[-1], y[-1])
    q = q * jnp.where((newest > 0) & (curvature[-1] > 0), curvature[-1] / jnp.where(newest > 0, newest, 1.0), 1.0)
    q, _ = jax.lax.scan(forth, q, (s, y, rho, alpha))
    direction = jnp.where(is_free, -q, 0.0)
    return jnp.where(jnp.dot(direction, g) < 0, direction, -g)


def build(options: LbfgsOptions) -> AbstractEngine:
    own: dict[str, Any] = {"scaling": options.scaling, **own_options(options)}
    return mapped(Lbfgs(**own), options)
