"""Bounded nonlinear least squares: Levenberg–Marquardt with adaptive damping on the free set of a box."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.linear import WELL_CONDITIONED, Covariance, covariance, diagonal, from_gram, gram, solve_spd
from campaign.engines.loss import Weighted, weighted
from campaign.problem.target import Target

RESOLVES = 2  # passes that re-solve for the other parameters after some were stopped by a bound
AT_BOUND = 1e-10  # of the range (or of the bound and the scale where the range is infinite)
DAMPING_MIN, DAMPING_MAX = 1e-14, 1e14  # in units of the squared column norms
UNSEEN = 0.6  # eps**UNSEEN of the loss (4e-10 in float64): smaller changes may drown in the rounding of the model


def _number(value: Any) -> Float[Array, ""]:
    return jnp.asarray(value, dtype=float)  # the default float: float64 where that is enabled


class Point(NamedTuple):
    """A place, and the quadratic model of the loss around it."""

    u: Float[Array, " d"]
    loss: Float[Array, ""]
    gradient: Float[Array, " d"]
    hessian: Float[Array, "d d"]


class Move(NamedTuple):
    """The next trial: where it goes, how far in the metric of the damping, and what it should gain."""

    there: Float[Array, " d"]
    length: Float[Array, ""]
    predicted: Float[Array, ""]


class TrfState(NamedTuple):
    """What the next step needs.

    Attributes:
        point: where the engine stands.
        move: what it tries next.
        column: largest squared column norm of J so far; the metric of the damping.
        damping: λ, relative to `column`.
        growth: factor of λ at the next rejection.
        loss_initial: loss at the start.
        n_evaluations: model evaluations so far; a Jacobian counts as d.
        outcome: code of `Outcome`.
    """

    point: Point
    move: Move
    column: Float[Array, " d"]
    damping: Float[Array, ""]
    growth: Float[Array, ""]
    loss_initial: Float[Array, ""]
    n_evaluations: Int[Array, ""]
    outcome: Int[Array, ""]


class Trf(AbstractEngine):
    """Minimise L(u) = ½ Σ f² ρ((r_i(u)/f)²) over a box of u, by damped Gauss–Newton steps.

    Step: (H + λ D) p = −g on the parameters that no bound holds, H = JᵀWJ, g = JᵀWr, D = the largest squared column
    norms so far. Parameters that p would carry through a bound stop there and the others are solved again.
    The trial u + p is taken when it lowers the loss by more than 10⁻⁴ of what H and g predict; where the prediction
    is too small to be seen in the loss, when it lowers the gradient. λ follows the ratio q of the gained over the
    predicted decrease: λ·max(1/3, 1−(2q−1)³) after a success, λ·ν (ν doubling) after a failure, which a trial that is
    not finite is. As λ grows the step turns into a scaled projected gradient step.

    The first step evaluates the start itself, so a trace begins where the fit began.

    Ends as `converged` when one of these holds:
        * the loss is 0;
        * every cosine |J_j·r| / (|J_j| |r|) of a parameter that can move is at most `gtol`;
        * the next step, with λ ≤ 1, is predicted to gain at most `ftol` of the loss: what is left of the way to the
          minimum is about √(N·ftol) standard errors;
        * the next step, with λ ≤ 1, is at most `xtol` of |u| in the metric D;
        * a step is rejected whose effect, predicted and real, is lost in the rounding of the loss.
    As `stalled` when steps get that small only because of λ > 1.

    Attributes:
        loss: ρ, one of `campaign.engines.loss.LOSSES`. Static.
        f_scale: f, in units of the whitened residuals; no meaning for ``linear``.
        damping: λ at the start.

    Source: Nielsen 1999, IMM-REP-1999-05 (damping rule); Moré 1978, LNM 630 (scaling); Bertsekas 1982, SIAM J. Control
    Optim. 20, 221 (projected Newton steps).
    Checked: tests/oracle/test_trf.py against scipy.optimize.least_squares, tests/oracle/test_nist.py.
    """

    max_steps: int = eqx.field(static=True, default=200)
    chunk_steps: int = eqx.field(static=True, default=32)
    loss: str = eqx.field(static=True, default="linear")
    ftol: Float[Array, ""] = eqx.field(converter=_number, default=1e-15)
    xtol: Float[Array, ""] = eqx.field(converter=_number, default=1e-10)
    gtol: Float[Array, ""] = eqx.field(converter=_number, default=1e-10)
    damping: Float[Array, ""] = eqx.field(converter=_number, default=1e-3)
    f_scale: Float[Array, ""] = eqx.field(converter=_number, default=1.0)

    def init(self, target: Target, key: PRNGKeyArray) -> TrfState:
        """Nothing is evaluated yet: the first step goes to the start, whatever it finds there."""
        u = target.start()
        nowhere = jnp.zeros_like(u)
        far = jnp.asarray(jnp.inf, u.dtype)
        damping = self.damping.astype(u.dtype)
        return TrfState(
            point=Point(u, far, nowhere, jnp.zeros((u.shape[0], u.shape[0]), u.dtype)),
            move=Move(u, jnp.zeros_like(far), far),
            column=nowhere,
            damping=damping,
            growth=jnp.full_like(damping, 2.0),
            loss_initial=far,
            n_evaluations=jnp.asarray(0, jnp.int32),
            outcome=jnp.asarray(Outcome.RUNNING, jnp.int32),
        )

    def step(self, target: Target, state: TrfState) -> tuple[TrfState, Info]:
        here, move = state.point, state.move
        is_first = state.n_evaluations == 0
        trial = self._point(target, move.there)

        finite = _is_finite(trial)
        gained = here.loss - trial.loss
        ratio = jnp.where(finite & ~is_first, gained / move.predicted, -1.0)
        unseen = jnp.finfo(here.u.dtype).eps ** UNSEEN * here.loss
        drowned = finite & (move.predicted <= unseen) & (jnp.abs(gained) <= unseen) & ~is_first
        flatter = drowned & (_cosine(target, trial) <= 0.9 * _cosine(target, here))
        accepted = is_first | ((move.predicted > 0) & ((ratio > 1e-4) | flatter))
        rounding = drowned & ~accepted & (state.damping <= 1.0)
        point = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), trial, here)

        shrink = jnp.maximum(1.0 / 3.0, 1.0 - (2.0 * jnp.clip(ratio, 0.5, 1.0) - 1.0) ** 3)
        shrink = jnp.where(ratio < 0.5, 1.0 + (1.0 - 2.0 * jnp.clip(ratio, 0.0, 0.5)) ** 3, shrink)
        factor = jnp.where(is_first, 1.0, jnp.where(accepted, shrink, state.growth))
        damping = jnp.maximum(state.damping * factor, DAMPING_MIN)
        column = jnp.maximum(state.column, diagonal(point.hessian))
        following = _move(target, point, column, damping)
        outcome = jnp.where(rounding, Outcome.CONVERGED, self._verdict(target, point, following, damping))
        new = TrfState(
            point=point,
            move=following,
            column=column,
            damping=damping,
            growth=jnp.where(accepted, 2.0, 2.0 * state.growth),
            loss_initial=jnp.where(is_first, trial.loss, state.loss_initial),
            n_evaluations=state.n_evaluations + (1 + here.u.shape[0]),
            outcome=jnp.where(is_first & ~finite, Outcome.NONFINITE, outcome).astype(jnp.int32),
        )
        info = {
            "loss": point.loss,
            "theta": target.theta(point.u),
            "grad_norm": _cosine(target, point),
            "step_norm": move.length,
            "damping": state.damping,
            "accepted": accepted,
        }
        return new, info

    def _verdict(self, target: Target, point: Point, move: Move, damping: Float[Array, ""]) -> Int[Array, ""]:
        """Outcome at a point, given what would come next."""
        eps = jnp.finfo(point.u.dtype).eps
        metric = diagonal(point.hessian)
        reach = jnp.maximum(self.xtol, eps) * jnp.sqrt(jnp.sum(metric * point.u * point.u))
        tiny = (move.predicted <= self.ftol * point.loss) | (move.length <= reach)
        converged = (_cosine(target, point) <= self.gtol) | (tiny & (damping <= 1.0))
        stalled = tiny | (damping > DAMPING_MAX)
        return jnp.where(converged, Outcome.CONVERGED, jnp.where(stalled, Outcome.STALLED, Outcome.RUNNING)).astype(
            jnp.int32
        )

    def outcome(self, state: TrfState) -> Int[Array, ""]:
        return state.outcome

    def finish(self, target: Target, state: TrfState) -> Result:
        point = state.point
        d = point.u.shape[0]
        theta = target.theta(point.u)
        at_bound = _at_bound(target, theta)
        fit = self._covariance(target, point, at_bound != 0)
        residuals = jax.eval_shape(target.residuals, point.u)
        n = residuals.shape[0]
        matrix = target.covariance(point.u, fit.matrix)
        if not target.is_absolute:
            dof = n - target.n_fitted
            matrix = matrix * (2.0 * point.loss / dof if dof > 0 else jnp.nan)
        return Result.of(
            theta,
            point.loss,
            state.loss_initial,
            stderr=jnp.sqrt(diagonal(matrix)),
            n_evaluations=state.n_evaluations,
            at_bound=at_bound,
            unidentified=fit.unidentified,
            metrics={
                "chi2": 2.0 * point.loss if self.loss == "linear" else jnp.sum(target.residuals(point.u) ** 2),
                "n_data": jnp.asarray(n, jnp.int32),
                "n_free": jnp.asarray(d, jnp.int32),
                "condition": fit.condition,
                "optimality": _cosine(target, point),
            },
            arrays={"covariance": matrix},
        )

    def _covariance(self, target: Target, point: Point, fixed: Bool[Array, " d"]) -> Covariance:
        """From the Gauss–Newton matrix at hand where that is accurate enough, else from J itself."""
        quick = from_gram(point.hessian, fixed)
        return jax.lax.cond(
            quick.condition <= WELL_CONDITIONED,
            lambda: quick,
            lambda: covariance(self._rows(target, point.u)[1], fixed),
        )

    def fields(self, target: Target) -> dict[str, Field]:
        scalars = dict.fromkeys(("loss", "grad_norm", "step_norm", "damping", "accepted"), Field())
        covariance = Field(("parameter", "parameter_b"), once=True)
        return {**scalars, "theta": Field(("parameter",)), "covariance": covariance}

    def _rows(self, target: Target, u: Float[Array, " d"]) -> tuple[Weighted, Float[Array, "d N"], Float[Array, " N"]]:
        """Loss, the weighted Jᵀ and r with H = Jᵀ·J and g = Jᵀ·r, from one forward-mode pass."""
        residuals, tangent = jax.linearize(target.residuals, u)
        rows = jax.vmap(tangent)(jnp.eye(u.shape[0], dtype=u.dtype))  # N contiguous
        weights = weighted(self.loss, residuals, self.f_scale)
        if weights.gradient is None:
            return weights, rows, residuals
        root = jnp.sqrt(weights.curvature)  # pyright: ignore[reportArgumentType]
        return weights, rows * root[None, :], weights.gradient * residuals / root

    def _point(self, target: Target, u: Float[Array, " d"]) -> Point:
        weights, rows, residuals = self._rows(target, u)
        return Point(u, weights.value, rows @ residuals, gram(rows))


def _cosine(target: Target, point: Point) -> Float[Array, ""]:
    """Largest |cos| between the residuals and the column of a parameter that can move; 0 where the loss is 0."""
    square = diagonal(point.hessian) * (2.0 * point.loss)
    out = _held(target, point) | (square == 0)
    return jnp.sqrt(jnp.max(jnp.where(out, 0.0, point.gradient**2 / jnp.where(out, 1.0, square))))


def _is_finite(point: Point) -> Bool[Array, ""]:
    """Whether loss and Jacobian are finite: the diagonal of H has every entry of J in it."""
    return jnp.isfinite(point.loss + jnp.sum(diagonal(point.hessian)) + jnp.sum(point.gradient))


def _product(matrix: Float[Array, "d d"], vector: Float[Array, " d"]) -> Float[Array, " d"]:
    return jnp.sum(matrix * vector[None, :], axis=1)


def _held(target: Target, point: Point) -> Bool[Array, " d"]:
    """Parameters at a bound that the gradient pushes outward."""
    if not target.has_bounds:
        return jnp.zeros(point.u.shape, bool)
    lower, upper = target.bounds()
    return ((point.u <= lower) & (point.gradient > 0)) | ((point.u >= upper) & (point.gradient < 0))


def _move(target: Target, here: Point, column: Float[Array, " d"], damping: Float[Array, ""]) -> Move:
    """The next trial: damped Gauss–Newton on the parameters that no bound stops."""
    metric = jnp.where(column > 0, column, 1.0)
    damped = here.hessian + jnp.diag(damping * metric)
    if not target.has_bounds:
        step = solve_spd(damped, -here.gradient)
        there = here.u + step
    else:
        lower, upper = target.bounds()
        stopped = _held(target, here)
        step = jnp.zeros_like(here.u)
        for _ in range(1 + RESOLVES):
            pull = jnp.where(stopped, step, 0.0)
            matrix = jnp.where(stopped[:, None] | stopped[None, :], jnp.diag(metric), damped)
            solved = solve_spd(matrix, jnp.where(stopped, 0.0, -here.gradient - _product(here.hessian, pull)))
            wanted = here.u + jnp.where(stopped, step, solved)
            there = jnp.clip(wanted, lower, upper)
            step = there - here.u
            stopped = stopped | (there != wanted)
    predicted = -jnp.sum(step * (here.gradient + 0.5 * _product(here.hessian, step)))
    return Move(there, jnp.sqrt(jnp.sum(metric * step * step)), predicted)


def _at_bound(target: Target, theta: Float[Array, " d"]) -> Int[Array, " d"]:
    """−1 at the lower bound, +1 at the upper, 0 inside."""
    space = target.space
    lower, upper = jnp.array(space.lower, theta.dtype), jnp.array(space.upper, theta.dtype)
    width = upper - lower

    def near(bound: Array) -> Array:
        reach = jnp.where(jnp.isfinite(width), width, jnp.abs(bound) + target.scale)
        return jnp.isfinite(bound) & (jnp.abs(theta - bound) <= AT_BOUND * reach)

    return (near(upper).astype(jnp.int32) - near(lower).astype(jnp.int32)).astype(jnp.int32)


def build(options) -> Trf:
    """`TrfOptions` → engine."""
    return Trf(**options.model_dump())
