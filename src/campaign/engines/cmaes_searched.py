"""What `cmaes` searches: all free parameters, or the nonlinear ones with the linear ones solved for at every point."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.box import best_in_box
from campaign.engines.normal import Robust
from campaign.engines.objective import cost
from campaign.engines.separable import Split, split_of
from campaign.engines.separable_rows import rows_at
from campaign.errors import InvalidValue
from campaign.problem.target import Target


@dataclass(frozen=True, slots=True)
class Searched:
    """A cost over some coordinates of a target.

    Attributes:
        whole: the target of all free parameters.
        target: that of the coordinates that the search moves.
        split: which of them are linear; None where the search moves all.
    """

    whole: Target
    objective: str
    target: Target
    split: Split | None = None

    @classmethod
    def of(cls, target: Target, objective: str, eliminate: bool | None) -> Searched:
        """Linear parameters are eliminated where the problem says which are (`Problem.linear`) and some are free.

        Args:
            eliminate: False: never; True: an error where that cannot be; None: of a likelihood, where it can.

        Raises:
            InvalidValue: see `split_of`; or priors are asked for, which elimination leaves out.
        """
        if eliminate and objective != "likelihood":
            raise InvalidValue(
                "engine `cmaes` cannot eliminate linear parameters of a posterior",
                hint='set `engine.objective` to "likelihood", or `engine.eliminate` to false',
            )
        linear = {name for group in target.problem.linear() for name in group} & set(target.space.names)
        wanted = bool(linear) and objective == "likelihood" if eliminate is None else eliminate
        if not wanted:
            return cls(target, objective, target)
        split = split_of(target, "cmaes")
        return cls(target, objective, split.reduced(target), split)

    def cost(self, u: Float[Array, " p"]) -> Float[Array, ""]:
        """Of a place of the search: with the best linear parameters there, inside their bounds."""
        return cost(self.target, u, self.objective) if self.split is None else self._solved(u)[1]

    def coordinates(self, u: Float[Array, " p"]) -> Float[Array, " d"]:
        """Of all free parameters at a place of the search."""
        return u if self.split is None else self.split.together(u, self._solved(u)[0])

    def _solved(self, u: Float[Array, " p"]) -> tuple[Float[Array, "K m"], Float[Array, ""]]:
        """The best linear parameters at u by normal equations, group by group, and ½ r·r there. One evaluation."""
        assert self.split is not None
        split, linear = self.split, Robust("linear", jnp.ones((), u.dtype))
        c = split.apart(jnp.clip(self.whole.start_theta(), *self.whole.bounds()))[1]
        rows = rows_at(self.whole, split, u, c, u.shape[0])
        sums = rows(c, linear, False)
        best = best_in_box(sums.diagonal_blocks, sums.slopes, c, split.bounds(self.whole))
        return best, jnp.sum(rows(best, linear, False).loss)
