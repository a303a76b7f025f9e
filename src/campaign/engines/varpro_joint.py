"""What `varpro` knows at a point: the best linear parameters, and the sums over the rows there."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.arrow import Arrow, Reduced, free_ones, projected, reduced
from campaign.engines.inner import SURE, Inner, after_sums, inner_at
from campaign.engines.linear import only_if, rank_tolerance
from campaign.engines.normal import Normal, Robust, n_chunks, tree_sum
from campaign.engines.passes import Pass
from campaign.engines.separable import Split
from campaign.engines.separable_columns import (
    blocks_of,
    by_columns,
    column_sums,
    column_triangles,
    joined_column_triangles,
)
from campaign.engines.separable_rows import (
    Place,
    all_triangles,
    block_sums,
    block_triangles,
    columns_at,
    joined_sums,
    joined_triangles,
)
from campaign.engines.stretches import sums_of_groups
from campaign.engines.trf import SHALLOW
from campaign.engines.trf_point import quick_pivot
from campaign.problem.target import Target

REFINED = 2  # solutions of the linear parameters from rows at hand: the second takes out the rounding of the first


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

    @classmethod
    def nothing(cls, c: Float[Array, "K m"], p: int) -> Joint:
        """Nothing is evaluated yet."""
        k, m = c.shape
        gram = jnp.zeros((k, m + p + 1, m + p + 1), c.dtype)
        none = jnp.zeros(k, c.dtype)
        return cls(c, Arrow(gram, none, none, jnp.zeros((k, m, m), c.dtype)), gram, jnp.asarray(0, jnp.int32))


class Separated(NamedTuple):
    """A target and how its linear parameters are eliminated.

    Attributes:
        robust: the loss.
        rows: of a block.
    """

    target: Target
    split: Split
    robust: Robust
    rows: int

    @property
    def bounds(self) -> tuple[Float[Array, "K m"], Float[Array, "K m"]] | None:
        """Of the linear parameters."""
        return self.split.bounds(self.target)

    @property
    def is_linear(self) -> bool:
        """Whether the loss is χ²."""
        return self.robust.kind == "linear"

    # -- what is known at a point ----------------------------------------------------------------------------------

    def joint(self, u: Float[Array, " p"], c: Float[Array, "K m"], is_first: Bool[Array, ""]) -> Joint:
        """All of it, in one program. `c`: where the search for the best c begins; `is_first`: it may be far off."""
        sums = self._sums(Place(u, c))

        def more(carry: tuple[Inner, Int[Array, ""]]) -> tuple[Inner, Int[Array, ""]]:
            search, n = carry
            is_plain = False if self.is_linear else is_first & (n == 0)
            return self.after(search, sums(search.there, is_plain), is_plain), n + 1

        begin = inner_at(c), jnp.asarray(0, jnp.int32)
        search, n = jax.lax.while_loop(lambda carry: carry[0].is_open, more, begin)
        at = Place(u, self.found(search))
        if self.target.is_chunked:
            total, triangles = self.summed(Pass.ARROW, at), lambda: self.summed(Pass.TRIANGLES, at)
        else:
            columns = columns_at(self.target, self.split, at, None, has_jacobian=True)
            total = sums_of_groups(columns, self.split.n_groups, jnp.zeros_like(c), self.robust)
            triangles = lambda: all_triangles(columns, self.split, self.robust)  # noqa: E731
        joint = Joint.nothing(at.c, len(u))._replace(arrow=Arrow.of(total, self.split.width), n_sums=n)
        return joint._replace(triangles=only_if(self.is_shallow(joint), triangles, joint.triangles))

    def _sums(self, at: Place):
        """(c, is_plain) → sums without J at the same u."""
        if not self.target.is_chunked:
            columns = columns_at(self.target, self.split, at, None, has_jacobian=False)
            return lambda c, is_plain: sums_of_groups(columns, self.split.n_groups, c - at.c, self.robust, is_plain)
        if self.is_linear:
            return lambda c, is_plain: self.summed(Pass.LINEAR, Place(at.u, c))
        return lambda c, is_plain: jax.lax.cond(
            is_plain, *(lambda c, k=k: self.summed(k, Place(at.u, c)) for k in (Pass.LINEAR_PLAIN, Pass.LINEAR)), c
        )

    def after(self, search: Inner, sums: Float[Array, "K w"], is_plain: Array | bool) -> Inner:
        """The search for c with the sums that it asked for."""
        limit = (1 if self.target.is_chunked else REFINED) if self.is_linear else SURE
        at = Arrow.of(sums, self.split.width)
        return after_sums(search, at, self.bounds, self.split.stretch, limit, is_plain)

    def found(self, search: Inner) -> Float[Array, "K m"]:
        """c at the end of a search: exact for the linear loss."""
        return search.there if self.is_linear else search.c

    @property
    def is_by_columns(self) -> bool:
        """Whether the problem gives the same rows of all groups at once."""
        return by_columns(self.target, self.split)

    @property
    def n_parts(self) -> int:
        """Row blocks."""
        return blocks_of(self.target, self.rows).n if self.is_by_columns else n_chunks(self.target, self.rows)

    # -- row by row ------------------------------------------------------------------------------------------------

    def part(self, kind: Pass, at: Place, chunk: Int[Array, ""]) -> Float[Array, " width"]:
        """What one row block adds, as one vector."""
        robust = self.robust._replace(kind="linear") if kind == Pass.LINEAR_PLAIN else self.robust
        sums, triangles = (column_sums, column_triangles) if self.is_by_columns else (block_sums, block_triangles)
        if kind == Pass.TRIANGLES:
            return triangles(self.target, self.split, at, chunk, robust, self.rows).ravel()
        has_jacobian = kind == Pass.ARROW
        return sums(self.target, self.split, at, chunk, robust, self.rows, has_jacobian=has_jacobian).ravel()

    def joined(self, kind: Pass, parts: Float[Array, "n width"]) -> Array:
        """The sums, or the triangles, of each group."""
        if self.is_by_columns:
            own = parts.reshape(len(parts), self.split.n_groups, -1)
            e = self.split.width + len(self.split.nonlinear) + 1
            is_sum = kind != Pass.TRIANGLES
            return tree_sum(own) if is_sum else joined_column_triangles(own.reshape(*own.shape[:2], e, e))
        join = joined_triangles if kind == Pass.TRIANGLES else joined_sums
        return join(parts, self.target, self.split, self.rows)

    def summed(self, kind: Pass, at: Place) -> Array:
        """A whole pass."""
        chunks = jnp.arange(self.n_parts, dtype=jnp.int32)
        return self.joined(kind, jax.lax.map(lambda chunk: self.part(kind, at, chunk), chunks))

    # -- without the linear parameters -----------------------------------------------------------------------------

    def free(self, joint: Joint) -> Bool[Array, "K m"]:
        """Linear parameters that no bound holds."""
        return free_ones(joint.c, joint.arrow.slopes, self.bounds)

    def is_shallow(self, joint: Joint) -> Bool[Array, ""]:
        """Whether steps need the triangles: the normal equations have lost too many digits."""
        least = quick_pivot(len(self.split.nonlinear)) if self.target.is_chunked else SHALLOW
        return ~(reduced(joint.arrow, self.free(joint)).pivot >= least)

    def left(self, joint: Joint, free: Bool[Array, "K m"]) -> tuple[Reduced, Float[Array, "q q"]]:
        """S and g, from the triangles where there are any, and R of (I − Φ Φ⁺) [J r]."""
        plain = reduced(joint.arrow, free)
        tolerance = rank_tolerance(self.split.stretch, self.split.width, joint.c.dtype)
        factor = projected(joint.triangles, free, tolerance)
        own, r = factor[:, :-1], factor[:, -1]
        exact = Normal(plain.normal.loss, jnp.sum(own * r[:, None], axis=0), own.T @ own)
        has_triangles = jnp.any(joint.triangles != 0)
        normal = jax.tree.map(lambda new, old: jnp.where(has_triangles, new, old), exact, plain.normal)
        return plain._replace(normal=normal), factor
