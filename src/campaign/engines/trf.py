"""Bounded nonlinear least squares: Gauss–Newton steps in a trust region, on the free set of a box."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.bounds import inside_bounds
from campaign.engines.catalogue import TrfOptions
from campaign.engines.errors import errors_of
from campaign.engines.linear import (
    Covariance,
    Factor,
    covariance,
    diagonal,
    factor_of,
    from_gram,
    only_if,
    rank_tolerance,
)
from campaign.engines.mapped import mapped, own_options
from campaign.engines.normal import Given, Normal, Robust, Rows, all_rows, n_chunks, normal_equations, triangle
from campaign.engines.passes import NOTHING, Pass, Question
from campaign.engines.region import FromGram, FromTriangle, Solver
from campaign.engines.trf_move import Move, next_metric, next_move, next_radius
from campaign.engines.trf_passes import after_normal, normal_part, question
from campaign.engines.trf_point import Point, is_finite, least_pivot, pivot_of, quick_pivot
from campaign.engines.trf_state import TrfState, state_at_start
from campaign.problem.target import Target

SHALLOW = 1e-6  # least pivot of JᵀJ (condition about 1e3) down to which covariances come from it: 6 of 16 digits lost
FIRST = 2.0  # Δ of the first step, in ‖D u‖ at the start
UNSEEN = 0.6  # eps**UNSEEN of the loss (4e-10 in float64): smaller changes may drown in the rounding of the model
LOST = 64.0  # eps of the loss: smaller changes are rounding, whatever the model
NEAR = 1e-3  # standard errors to the stationary point of the quadratic model at which a fit may be "converged"
NEAREST = 0.1  # the same where the rounding of u itself is larger than NEAR (offsets of more than 1e12 errors)


def _number(value: Any) -> Float[Array, ""]:
    return jnp.asarray(value, dtype=float)  # the default float: float64 where that is enabled


class Trf(AbstractEngine):
    """Minimise L(u) = ½ Σ f² ρ((r_i(u)/f)²) over a box of u, by Gauss–Newton steps in a trust region.

    Step: min ‖J p + r‖ with ‖D p‖ ≤ Δ, that is (H + λ D²) p = −g, on the parameters that no bound holds; H = JᵀWJ,
    g = JᵀWr, D the largest column norms of J so far, evened out (`next_metric`). Parameters that p would carry through
    a bound stop there and the others are solved again. Where J is ill-conditioned (3e4), p comes from its QR
    factorisation, in which directions that the residuals do not depend on are left out.
    The trial u + p is taken when it lowers the loss by more than 10⁻⁴ of what H and g predict; where the prediction
    is too small to be seen in the loss, when it lowers the gradient. Δ begins as 2 ‖D u‖, doubles where it stopped a
    good step and is half of a bad one, which a trial that is not finite is. `damping` is the least λ of the first step.

    The first step evaluates the start itself, so a trace begins where the fit began. A start on a bound of u that is
    infinite (log, logit) is moved inside by what rounding allows.

    Ends as `converged` only where it is shown that the minimum is near: ‖J p‖ of the undamped step, with the current
    H, is at most 10⁻³ of the error of a residual (1, or √(2 L/dof) where errors are unknown), and so is |J_j·r|/‖J_j‖
    of every parameter that can move; where u cannot be resolved so finely in floating point, 10⁻¹ at most. And one of:
        * the undamped step is predicted to gain at most `ftol` of the loss;
        * the undamped step that led here changed no parameter by more than `xtol` of it;
        * every cosine |J_j·r| / (‖J_j‖ ‖r‖) of a parameter that can move is at most `gtol`;
        * the step's effect, predicted and real, is lost in the rounding of the loss.
    Or where the loss is zero to rounding: ‖r‖ ≤ 4 eps ‖D u‖. As `stalled` where u cannot move and nothing is shown, and
    where no parameter changes the residuals.

    Attributes:
        loss: ρ, one of `campaign.engines.loss.LOSSES`. Static.
        chunk: rows of a block, for problems with `ChunkedResiduals`. Static.
        f_scale: f, in units of the whitened residuals; no meaning for ``linear``.
        damping: least λ of the first step.

    Source: Moré 1978, LNM 630 (trust region, scaling); Bertsekas 1982, SIAM J. Control Optim. 20, 221 (projected Newton
    steps); Bates & Watts 1981, Technometrics 23, 179 (convergence measured in standard errors).
    Checked: tests/oracle/test_trf.py against scipy.optimize.least_squares, tests/oracle/test_nist.py,
    tests/oracle/test_more_wild.py, tests/oracle/test_hard_problems.py.
    """

    max_steps: int = eqx.field(static=True, default=1000)
    chunk_steps: int = eqx.field(static=True, default=32)
    loss: str = eqx.field(static=True, default="linear")
    chunk: int = eqx.field(static=True, default=32768)
    ftol: Float[Array, ""] = eqx.field(converter=_number, default=1e-15)
    xtol: Float[Array, ""] = eqx.field(converter=_number, default=1e-10)
    gtol: Float[Array, ""] = eqx.field(converter=_number, default=1e-10)
    damping: Float[Array, ""] = eqx.field(converter=_number, default=1e-3)
    f_scale: Float[Array, ""] = eqx.field(converter=_number, default=1.0)

    def init(self, target: Target, key: PRNGKeyArray) -> TrfState:
        """Nothing is evaluated yet: the first step goes to the start, whatever it finds there."""
        return state_at_start(target)

    def step(self, target: Target, state: TrfState, given: Given | None = None) -> tuple[TrfState, Info]:
        """See `AbstractEngine`. `given`: what `first_pass` led to, where it was made elsewhere."""
        here, move = state.point, state.move
        is_first = state.n_evaluations == 0
        rows = None if target.is_chunked or given is not None else all_rows(target, move.there, self.robust)
        trial = Point.of(target, move.there, self._normal(target, move.there, rows, given))

        finite = is_finite(trial)
        gained = here.loss - trial.loss
        ratio = jnp.where(finite & ~is_first, gained / move.predicted, -1.0)
        unseen = jnp.finfo(here.u.dtype).eps ** UNSEEN * here.loss
        drowned = finite & (move.predicted <= unseen) & (jnp.abs(gained) <= unseen) & ~is_first
        flatter = drowned & (trial.slope < here.slope)
        accepted = is_first | ((move.predicted > 0) & ((ratio > 1e-4) | flatter))
        point = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), trial, here)
        factor = factor_of(point.hessian)
        pivot = least_pivot(point, factor)
        corner = only_if(
            accepted & self._is_shallow(target, pivot),
            lambda: self._triangle(target, point.u, given) if rows is None else rows.triangle(),
            state.triangle,
        )

        metric = jnp.where(accepted, next_metric(state.metric, diagonal(trial.hessian), state.size), state.metric)
        step = move.there - here.u
        length = jnp.sqrt(jnp.sum(metric * step * step))
        fallen = jnp.where(accepted & (length < move.length), length / move.length, 1.0)  # as far in u as before
        reach = jnp.sqrt(jnp.sum(metric * point.u * point.u))
        first = jnp.where(reach > 0, FIRST * reach, jnp.inf)
        radius = jnp.where(is_first, first, next_radius(state.radius, move, ratio, finite) * fallen)
        following = next_move(
            target,
            point,
            pivot,
            metric,
            radius,
            jnp.where(is_first, self.damping, 0.0),
            self._solvers(target, point, factor, corner),
        )

        arrived = accepted & ~is_first & (move.damping == 0) & jnp.all(jnp.abs(step) <= self.xtol * jnp.abs(move.there))
        rounding = LOST * jnp.finfo(here.u.dtype).eps * here.loss
        lost = drowned & ~accepted & (move.damping == 0) & (move.predicted <= rounding) & (jnp.abs(gained) <= rounding)
        verdict = self._verdict(target, point, following, arrived | lost)
        new = TrfState(
            point=point,
            triangle=corner,
            pivot=pivot,
            move=following,
            metric=metric,
            size=state.size,
            radius=radius,
            loss_initial=jnp.where(is_first, trial.loss, state.loss_initial),
            n_evaluations=state.n_evaluations + (1 + here.u.shape[0]),
            outcome=jnp.where(is_first & ~finite, Outcome.NONFINITE, verdict).astype(jnp.int32),
        )
        info = {
            "loss": point.loss,
            "theta": target.theta(point.u),
            "grad_norm": point.slope,
            "step_norm": move.length,
            "damping": move.damping,
            "accepted": accepted,
        }
        return new, info

    def _verdict(self, target: Target, point: Point, move: Move, settled: Bool[Array, ""]) -> Int[Array, ""]:
        """Outcome at a point, given what would come next. `settled`: the last step moved next to nothing."""
        eps = jnp.finfo(point.u.dtype).eps
        reach = jnp.sqrt(jnp.sum(diagonal(point.hessian) * point.u * point.u))  # ‖D u‖
        sigma = self._sigma(target, point)
        near = jnp.minimum(NEAREST * sigma, NEAR * sigma + 4.0 * eps * reach)
        is_near = (move.distance <= near) & (move.steepest <= near)
        settled = settled | (move.distance**2 <= 2.0 * self.ftol * point.loss) | (point.slope <= self.gtol)
        is_zero = jnp.sqrt(2.0 * point.loss) <= 4.0 * eps * reach
        is_stuck = jnp.all(move.there == point.u) | ~(move.predicted > 0)
        is_idle = bool(len(point.u)) & jnp.all(
            diagonal(point.hessian) == 0
        )  # nothing changes the residuals here: a plateau, a saddle
        converged = (is_near & (settled | is_stuck) & ~is_idle) | is_zero | (point.loss == 0)
        return jnp.where(converged, Outcome.CONVERGED, jnp.where(is_stuck, Outcome.STALLED, Outcome.RUNNING))

    def decrement(self, target: Target, state: TrfState) -> Float[Array, ""]:
        """√(gᵀH⁻¹g) in errors of the residuals: how far the minimum still is, of parameters that no bound holds."""
        sigma = self._sigma(target, state.point)
        return state.move.distance / jnp.where(sigma > 0, sigma, 1.0)

    def _sigma(self, target: Target, point: Point) -> Float[Array, ""]:
        """The error of a residual: 1, or from the residuals themselves."""
        if target.problem.absolute_sigma:
            return jnp.ones_like(point.loss)
        dof = target.n_data - point.u.shape[0] - target.n_profiled
        return jnp.sqrt(2.0 * point.loss / jnp.maximum(dof, 1))

    def outcome(self, state: TrfState) -> Int[Array, ""]:
        return state.outcome

    # -- passes over the rows that are made elsewhere: see `campaign.engines.passes.ByPasses` ------------------------

    @property
    def robust(self) -> Robust:
        return Robust(self.loss, self.f_scale)

    @property
    def usual_passes(self) -> tuple[Pass, ...]:
        return (Pass.NORMAL,)

    def n_parts(self, target: Target) -> int:
        return n_chunks(target, self.chunk)

    def part(self, kind: Pass, target: Target, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Float[Array, " width"]:
        return normal_part(self, kind, target, u, chunk)

    def first_pass(self, target: Target, state: TrfState) -> Question:
        return question(jnp.asarray(Pass.NORMAL), state.move.there, jnp.asarray(NOTHING))

    def after_pass(self, kind: Pass, target: Target, asked: Question, parts: Float[Array, "n width"]) -> Question:
        return after_normal(self, kind, target, asked, parts)

    def lacks_triangle(self, target: Target, at: Normal) -> Bool[Array, ""]:
        return self._is_shallow(target, pivot_of(at))

    def last_pass(self, target: Target, state: TrfState) -> Question:
        """χ² of a robust loss, and the triangle, at the last accepted point."""
        then = jnp.where(state.pivot >= SHALLOW, NOTHING, Pass.TRIANGLE)
        kind = then if self.loss == "linear" else jnp.asarray(Pass.PLAIN)
        return question(kind, state.point.u, then)

    def finish(self, target: Target, state: TrfState, given: Given | None = None) -> Result:
        """See `AbstractEngine`. `given`: what `last_pass` led to."""
        point = state.point
        d = point.u.shape[0]
        at_bound = target.at_bound(point.u)
        fit = self._covariance(target, state, at_bound != 0, given)
        fit = fit._replace(unidentified=target.of_parameters(point.u, fit.unidentified))
        theta = target.theta(point.u)
        squares = jnp.where(is_finite(point), 2.0 * point.loss, jnp.nan)
        errors = errors_of(target, theta, target.covariance(point.u, fit.matrix), fit, squares)
        return Result.of(
            inside_bounds(target, theta),
            point.loss,
            state.loss_initial,
            stderr=errors.stderr,
            n_evaluations=state.n_evaluations,
            at_bound=at_bound if target.map.is_elementwise else jnp.zeros(theta.shape, jnp.int32),
            unidentified=errors.unidentified,
            metrics={
                "chi2": 2.0 * point.loss if self.loss == "linear" else self._chi2(target, point.u, given),
                "n_data": jnp.asarray(target.n_data, jnp.int32),
                "n_free": jnp.asarray(d, jnp.int32),
                "condition": fit.condition,
                "rank": fit.rank,
                "optimality": point.slope,
                "decrement": self.decrement(target, state),
            },
            arrays={"covariance": errors.covariance},
        )

    def _chi2(self, target: Target, u: Float[Array, " d"], given: Given | None) -> Float[Array, ""]:
        if given is not None:
            return 2.0 * given.normal.loss
        return 2.0 * normal_equations(target, u, Robust("linear", self.f_scale), self.chunk).loss

    def _covariance(self, target: Target, state: TrfState, fixed: Bool[Array, " d"], given: Given | None) -> Covariance:
        """From the Gauss–Newton matrix at hand where that is accurate enough, else from the triangle of J."""
        n, point = target.n_residuals, state.point
        quick = from_gram(point.hessian, fixed)
        quick = quick._replace(unidentified=~jnp.isfinite(diagonal(point.hessian)))

        def slow() -> Covariance:
            factor = self._triangle(target, point.u, given) if target.is_chunked else state.triangle
            return covariance(factor[:-1, :-1].T, fixed, n)

        return jax.lax.cond(state.pivot >= SHALLOW, lambda: quick, slow)

    def fields(self, target: Target) -> dict[str, Field]:
        scalars = dict.fromkeys(("loss", "grad_norm", "step_norm", "damping", "accepted"), Field())
        covariance = Field(("parameter", "parameter_b"), once=True)
        return {**scalars, "theta": Field(("parameter",)), "covariance": covariance}

    def _triangle(self, target: Target, u: Float[Array, " d"], given: Given | None) -> Float[Array, "e e"]:
        """R of [J r]; the rows of problems with row blocks are read once more."""
        return triangle(target, u, self.robust, self.chunk) if given is None else given.triangle

    def _normal(self, target: Target, u: Float[Array, " d"], rows: Rows | None, given: Given | None) -> Normal:
        if given is not None:
            return given.normal
        return normal_equations(target, u, self.robust, self.chunk) if rows is None else rows.normal()

    def _is_shallow(self, target: Target, pivot: Float[Array, ""]) -> Bool[Array, ""]:
        return ~(pivot >= (quick_pivot(target.n_coordinates) if target.is_chunked else SHALLOW))

    def _solvers(
        self, target: Target, point: Point, factor: Factor, corner: Float[Array, "e e"]
    ) -> tuple[Solver, Solver]:
        tolerance = rank_tolerance(target.n_residuals, point.u.shape[0], point.u.dtype)
        return (
            FromGram(point.gradient, point.hessian, factor),
            FromTriangle(corner, diagonal(point.hessian), tolerance),
        )


def build(options: TrfOptions) -> AbstractEngine:
    return mapped(Trf(**own_options(options)), options)
