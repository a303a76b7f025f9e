"""Separable least squares: the trust region of `trf` on the parameters that are left when the linear ones are solved."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.arrow import (
    Arrow,
    Reduced,
    free_ones,
    information_left,
    projected,
    reduced,
    whole_matrix,
    whole_rows,
)
from campaign.engines.base import AbstractEngine, Field, Info, Result
from campaign.engines.bounds import inside_bounds
from campaign.engines.catalogue import VarproOptions
from campaign.engines.errors import errors_of
from campaign.engines.inner import SURE, Inner, after_sums, inner_at
from campaign.engines.linear import Covariance, covariance, factor_of, from_gram, only_if, rank_tolerance
from campaign.engines.normal import Given, Normal, Robust
from campaign.engines.separable import Split, split_of
from campaign.engines.separable_rows import arrow_at, rows_at
from campaign.engines.trf import SHALLOW, Trf
from campaign.engines.trf_point import least_pivot, quick_pivot
from campaign.engines.trf_state import TrfState
from campaign.problem.target import Target

REFINED = 2  # solutions of the linear parameters at a point: the second takes out the rounding of the first


class Joint(NamedTuple):
    """The linear parameters that are best at a point, and the sums over the rows there.

    Attributes:
        c: the linear parameters.
        arrow: the normal equations of all parameters.
        triangles: R of [Φ J r] of each group, where `arrow` is ill-conditioned; else zeros.
        n_sums: sums over the rows that finding c took.
    """

    c: Float[Array, "K m"]
    arrow: Arrow
    triangles: Float[Array, "K e e"]
    n_sums: Int[Array, ""]


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
    Checked: tests/oracle/test_varpro.py against scipy.optimize.least_squares over all parameters.
    """

    trf: Trf = eqx.field(default_factory=Trf)
    max_steps: int = eqx.field(static=True, default=1000)
    chunk_steps: int = eqx.field(static=True, default=32)

    def init(self, target: Target, key: PRNGKeyArray) -> VarproState:
        split = split_of(target, "varpro")
        inner = self.trf.init(split.reduced(target), key)
        c = split.apart(jnp.clip(target.start_theta(), *target.bounds()))[1]
        k, m = c.shape
        e = m + len(split.nonlinear) + 1
        none = Arrow(
            jnp.zeros((k, e, e), c.dtype), jnp.zeros(k, c.dtype), jnp.zeros(k, c.dtype), jnp.zeros((k, m, m), c.dtype)
        )
        zero = jnp.asarray(0, jnp.int32)
        return VarproState(inner, Joint(c, none, jnp.zeros_like(none.gram), zero), zero)

    def step(self, target: Target, state: VarproState, given: Joint | None = None) -> tuple[VarproState, Info]:
        """See `AbstractEngine`. `given`: what is known at the next u, where the passes were made elsewhere."""
        split = split_of(target, "varpro")
        small = split.reduced(target)
        is_first = state.inner.n_evaluations == 0
        at = self._joint(target, split, state) if given is None else given
        left = self._reduced(target, split, at)
        triangle = projected(at.triangles, self._free(target, split, at), self._tolerance(target, split))
        inner, info = self.trf.step(small, state.inner, Given(left.normal, triangle))
        here = info["accepted"] & ~(is_first & ~jnp.isfinite(inner.point.loss))
        best = jax.tree.map(lambda new, old: jnp.where(here, new, old), at, state.at)
        p, m = len(split.nonlinear), split.width
        cost = at.n_sums * (1 + m) + (1 + m + p)
        new = VarproState(inner, best, state.n_evaluations + cost.astype(jnp.int32))
        info = {**info, "theta": target.theta(split.together(inner.point.u, best.c))}
        return new, info

    def outcome(self, state: VarproState) -> Int[Array, ""]:
        return self.trf.outcome(state.inner)

    def finish(self, target: Target, state: VarproState, given: Joint | None = None) -> Result:
        split = split_of(target, "varpro")
        point, at = state.inner.point, state.at
        x = split.together(point.u, at.c)
        at_bound = target.at_bound(x)
        fixed = at_bound != 0
        fit = self._covariance(target, split, state, fixed, given)
        theta = target.theta(x)
        is_finite = jnp.isfinite(point.loss)
        squares = jnp.where(is_finite, 2.0 * point.loss, jnp.nan)
        errors = errors_of(target, theta, target.covariance(x, fit.matrix), fit, squares)
        held = split.apart(fixed)
        left = self._left(target, split, at, ~held[1])
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
                "optimality": point.slope,
                "information_left": information_left(left, held[0]),
            },
            arrays={"covariance": errors.covariance},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return self.trf.fields(target)

    @property
    def robust(self) -> Robust:
        return self.trf.robust

    # -- at one point -------------------------------------------------------------------------------------------------

    def _joint(self, target: Target, split: Split, state: VarproState) -> Joint:
        """All sums at the next u, from all rows at once or row block by row block."""
        u, c = state.inner.move.there, state.at.c
        is_first = state.inner.n_evaluations == 0
        bounds, limit = split.bounds(target), self.limit(is_refined=not target.is_chunked)
        rows = rows_at(target, split, u, c, self.trf.chunk)
        begin = inner_at(c)
        plain = is_first if self.robust.kind != "linear" else False

        def more(carry: tuple[Inner, Int[Array, ""]]) -> tuple[Inner, Int[Array, ""]]:
            search, n = carry
            is_plain = (n == 0) & plain
            sums = rows(search.there, self.robust, is_plain)
            return after_sums(search, sums, bounds, split.stretch, limit, is_plain), n + 1

        search, n = jax.lax.while_loop(lambda carry: carry[0].is_open, more, (begin, jnp.asarray(0, jnp.int32)))
        best = self.found(search)
        arrow, triangles = arrow_at(target, split, u, best, self.robust, self.trf.chunk)
        is_shallow = self.is_shallow(target, split, best, arrow)
        return Joint(best, arrow, only_if(is_shallow, triangles, jnp.zeros_like(arrow.gram)), n)

    def limit(self, *, is_refined: bool) -> int:
        """Most sums over the rows in the search for c."""
        if self.robust.kind != "linear":
            return SURE
        return REFINED if is_refined else 1

    def found(self, search: Inner) -> Float[Array, "K m"]:
        """c at the end of a search."""
        return search.there if self.robust.kind == "linear" else search.c

    def is_shallow(self, target: Target, split: Split, c: Float[Array, "K m"], arrow: Arrow) -> Bool[Array, ""]:
        """Whether steps need the triangles: the normal equations have lost too many digits."""
        least = quick_pivot(len(split.nonlinear)) if target.is_chunked else SHALLOW
        return ~(reduced(arrow, free_ones(c, arrow.slopes, split.bounds(target))).pivot >= least)

    def _free(self, target: Target, split: Split, at: Joint) -> Bool[Array, "K m"]:
        return free_ones(at.c, at.arrow.slopes, split.bounds(target))

    def _tolerance(self, target: Target, split: Split) -> float:
        return rank_tolerance(split.stretch, split.width, target.base.dtype)

    def _reduced(self, target: Target, split: Split, at: Joint) -> Reduced:
        return self._left(target, split, at, self._free(target, split, at))

    def _left(self, target: Target, split: Split, at: Joint, free: Bool[Array, "K m"]) -> Reduced:
        """S and g, from the triangles where there are any."""
        plain = reduced(at.arrow, free)
        factor = projected(at.triangles, free, self._tolerance(target, split))
        own, r = factor[:, :-1], factor[:, -1]
        exact = Normal(plain.normal.loss, jnp.sum(own * r[:, None], axis=0), own.T @ own)
        has_triangles = jnp.any(at.triangles != 0)
        return plain._replace(
            normal=jax.tree.map(lambda new, old: jnp.where(has_triangles, new, old), exact, plain.normal)
        )

    def _covariance(
        self, target: Target, split: Split, state: VarproState, fixed: Bool[Array, " d"], given: Joint | None
    ) -> Covariance:
        at = state.at
        matrix = whole_matrix(at.arrow, split)
        whole = Normal(jnp.sum(at.arrow.loss), matrix[0], matrix)
        pivot = least_pivot(whole, factor_of(matrix))
        quick = from_gram(matrix, fixed)
        quick = quick._replace(unidentified=~jnp.isfinite(jnp.diagonal(matrix)))

        def slow() -> Covariance:
            triangles = at.triangles if given is None else given.triangles
            return covariance(whole_rows(triangles, split), fixed, target.n_residuals)

        return jax.lax.cond(pivot >= SHALLOW, lambda: quick, slow)


def build(options: VarproOptions) -> Varpro:
    values = options.model_dump()
    return Varpro(trf=Trf(**values), max_steps=options.max_steps, chunk_steps=options.chunk_steps)
