"""Separable least squares: the trust region of `trf` on what is left when the linear parameters are solved for."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.arrow import Arrow, information_left, whole_matrix, whole_rows
from campaign.engines.base import AbstractEngine, Field, Info, Result
from campaign.engines.bounds import inside_bounds
from campaign.engines.catalogue import VarproOptions
from campaign.engines.errors import errors_of
from campaign.engines.inner import Inner, inner_at
from campaign.engines.linear import Covariance, covariance, diagonal, factor_of, from_gram
from campaign.engines.normal import Given, Normal
from campaign.engines.passes import NOTHING, Pass, Question
from campaign.engines.separable import split_of
from campaign.engines.separable_rows import Place
from campaign.engines.trf import SHALLOW, Trf
from campaign.engines.trf_point import least_pivot
from campaign.engines.trf_state import TrfState
from campaign.engines.varpro_joint import Joint, Separated
from campaign.problem.target import Target


class VarproState(NamedTuple):
    """What the next step needs.

    Attributes:
        inner: of `trf`, on the nonlinear parameters.
        at: linear parameters and sums where the engine stands.
        n_evaluations: of the model; a derivative counts as one.
    """

    inner: TrfState
    at: Joint
    n_evaluations: Int[Array, ""]


class Varpro(AbstractEngine):
    """Minimise L(u, c) = ½ Σ f² ρ((r_i/f)²) over a box, for residuals r = a(u) + Φ(u) c that are linear in c.

    At each u the best c inside its bounds is found first, from the small normal equations of each group; what is left
    is L(u) = min_c L(u, c), which `trf` minimises: S = JᵀJ − Σ E_k B_k⁻¹ E_kᵀ takes the place of its JᵀJ (see `arrow`).
    Linear parameters that a bound holds are not eliminated there. With a robust loss c is found by Newton steps, and by
    reweighting where one of them raises the loss. Where the linear parameters start does not matter.

    Steps, trust region, verdict: as `Trf`. Trace and result: as `Trf`, of all free parameters. The covariance is that
    of all parameters together, and so are the parameters without error. ``metric.information_left`` is the smallest
    eigenvalue of H^−½ S H^−½: how much of what the data say of the nonlinear parameters is left beside linear ones that
    are unknown.

    Attributes:
        trf: the search, with its options.

    Source: Golub & Pereyra 2003, Inverse Problems 19, R1; Kaufman 1975, BIT 15, 49.
    Checked: tests/oracle/test_varpro.py against scipy.optimize.least_squares over all parameters;
    tests/oracle/test_varpro_rows.py, row blocks against all rows at once.
    """

    trf: Trf = eqx.field(default_factory=Trf)
    max_steps: int = eqx.field(static=True, default=1000)
    chunk_steps: int = eqx.field(static=True, default=32)

    def init(self, target: Target, key: PRNGKeyArray) -> VarproState:
        split = self._of(target).split
        inner = self.trf.init(split.reduced(target), key)
        c = split.apart(jnp.clip(target.start_theta(), *target.bounds()))[1]
        return VarproState(inner, Joint.nothing(c, len(split.nonlinear)), jnp.asarray(0, jnp.int32))

    def step(self, target: Target, state: VarproState, given: Joint | None = None) -> tuple[VarproState, Info]:
        """See `AbstractEngine`. `given`: what `first_pass` led to, where it was made elsewhere."""
        own = self._of(target)
        split, is_first = own.split, state.inner.n_evaluations == 0
        at = own.joint(state.inner.move.there, state.at.c, is_first) if given is None else given
        left, triangle = own.left(at, own.free(at))
        inner, info = self.trf.step(split.reduced(target), state.inner, Given(left.normal, triangle))
        is_taken = info["accepted"] & ~(is_first & ~jnp.isfinite(inner.point.loss))
        best = jax.tree.map(lambda new, old: jnp.where(is_taken, new, old), at, state.at)
        cost = at.n_sums * (1 + split.width) + (1 + split.width + len(split.nonlinear))
        new = VarproState(inner, best, state.n_evaluations + cost.astype(jnp.int32))
        return new, {**info, "theta": target.theta(split.together(inner.point.u, best.c))}

    def outcome(self, state: VarproState) -> Int[Array, ""]:
        return self.trf.outcome(state.inner)

    def finish(self, target: Target, state: VarproState, given: Joint | None = None) -> Result:
        """See `AbstractEngine`. `given`: what `last_pass` led to."""
        own, point, at = self._of(target), state.inner.point, state.at
        x = own.split.together(point.u, at.c)
        at_bound = target.at_bound(x)
        fit = self._covariance(own, state, at_bound != 0, given)
        theta = target.theta(x)
        is_finite = jnp.isfinite(point.loss)
        squares = jnp.where(is_finite, 2.0 * point.loss, jnp.nan)
        errors = errors_of(target, theta, target.covariance(x, fit.matrix), fit, squares)
        held, linear_held = own.split.apart(at_bound != 0)
        return Result.of(
            inside_bounds(target, theta),
            point.loss,
            state.inner.loss_initial,
            stderr=errors.stderr,
            n_evaluations=state.n_evaluations,
            at_bound=at_bound,
            unidentified=errors.unidentified,
            metrics={
                "chi2": jnp.where(is_finite, jnp.sum(at.arrow.squares), 2.0 * point.loss),
                "n_data": jnp.asarray(target.n_data, jnp.int32),
                "n_free": jnp.asarray(len(theta), jnp.int32),
                "condition": fit.condition,
                "rank": fit.rank,
                "optimality": point.slope,
                "decrement": self.trf.decrement(own.split.reduced(target), state.inner),
                "information_left": information_left(own.left(at, ~linear_held)[0], held),
            },
            arrays={"covariance": errors.covariance},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return self.trf.fields(target)

    # -- passes over the rows that are made elsewhere: see `campaign.engines.passes.ByPasses` ------------------------

    @property
    def chunk(self) -> int:
        return self.trf.chunk

    @property
    def usual_passes(self) -> tuple[Pass, ...]:
        first = () if self.trf.loss == "linear" else (Pass.LINEAR_PLAIN,)
        return (*first, Pass.LINEAR, Pass.ARROW)

    def n_parts(self, target: Target) -> int:
        return self._of(target).n_parts

    def part(self, kind: Pass, target: Target, u: Float[Array, " d"], chunk: Int[Array, ""]) -> Float[Array, " width"]:
        own = self._of(target)
        return own.part(kind, Place(*own.split.apart(u)), chunk)

    def first_pass(self, target: Target, state: VarproState) -> Question:
        kind = Pass.LINEAR
        if self.trf.loss != "linear":
            kind = jnp.where(state.inner.n_evaluations == 0, Pass.LINEAR_PLAIN, Pass.LINEAR)
        return self._question(target, kind, state.inner.move.there, state.at.c)

    def after_pass(self, kind: Pass, target: Target, asked: Question, parts: Float[Array, "n width"]) -> Question:
        own, sums = self._of(target), self._of(target).joined(kind, parts)
        u, c = own.split.apart(asked.u)
        nothing = jnp.asarray(NOTHING, jnp.int32)
        if kind == Pass.TRIANGLES:
            return asked._replace(kind=nothing, found=asked.found._replace(triangles=sums))
        if kind == Pass.ARROW:
            joint = asked.found._replace(c=c, arrow=Arrow.of(sums, own.split.width))
            lacks = own.is_shallow(joint)
            return asked._replace(kind=jnp.where(lacks, jnp.int32(Pass.TRIANGLES), nothing), found=joint)
        search: Inner = own.after(asked.memory, sums, kind == Pass.LINEAR_PLAIN)
        there = jnp.where(search.is_open, search.there, own.found(search))
        return Question(
            jnp.where(search.is_open, jnp.int32(Pass.LINEAR), jnp.int32(Pass.ARROW)),
            own.split.together(u, there),
            asked.found._replace(n_sums=asked.found.n_sums + 1),
            search,
        )

    def last_pass(self, target: Target, state: VarproState) -> Question:
        """The triangles at the last accepted point, for the covariance."""
        pivot = self._whole(self._of(target), state.at)[1]
        kind = jnp.where(pivot >= SHALLOW, NOTHING, Pass.TRIANGLES)
        return self._question(target, kind, state.inner.point.u, state.at.c)

    def _question(self, target: Target, kind: Array | Pass, u: Float[Array, " p"], c: Float[Array, "K m"]) -> Question:
        split = self._of(target).split
        x = split.together(u, c)
        return Question(jnp.asarray(kind, jnp.int32), x, Joint.nothing(c, len(u)), inner_at(c))

    # -- at one point -------------------------------------------------------------------------------------------------

    def _of(self, target: Target) -> Separated:
        return Separated(target, split_of(target, "varpro"), self.trf.robust, self.trf.chunk)

    def _whole(self, own: Separated, at: Joint) -> tuple[Float[Array, "d d"], Float[Array, ""]]:
        """JᵀJ of all parameters, and its least pivot."""
        matrix = whole_matrix(at.arrow, own.split)
        return matrix, least_pivot(Normal(jnp.sum(at.arrow.loss), matrix[0], matrix), factor_of(matrix))

    def _covariance(
        self, own: Separated, state: VarproState, fixed: Bool[Array, " d"], given: Joint | None
    ) -> Covariance:
        """From JᵀJ where that is accurate enough, else from the triangles."""
        at = state.at
        matrix, pivot = self._whole(own, at)
        quick = from_gram(matrix, fixed)
        quick = quick._replace(unidentified=~jnp.isfinite(diagonal(matrix)))

        def slow() -> Covariance:
            if given is not None:
                triangles = given.triangles
            elif own.target.is_chunked:
                triangles = own.summed(Pass.TRIANGLES, Place(state.inner.point.u, at.c))
            else:
                triangles = at.triangles
            return covariance(whole_rows(triangles, own.split), fixed, own.target.n_residuals)

        return jax.lax.cond(pivot >= SHALLOW, lambda: quick, slow)


def build(options: VarproOptions) -> Varpro:
    return Varpro(trf=Trf(**options.model_dump()), max_steps=options.max_steps, chunk_steps=options.chunk_steps)
