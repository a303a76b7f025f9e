"""What `cmaes` searches: all free parameters, or the nonlinear ones with the linear ones solved for at every point."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.box import best_in_box
from campaign.engines.objective import cost
from campaign.engines.separable import Split, split_of
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
        """The best linear parameters at u by normal equations, group by group, and ½ r·r there.

        The model is evaluated once, with the derivatives by the linear parameters of all groups together.
        """
        assert self.split is not None
        split = self.split
        c = split.apart(jnp.clip(self.whole.start_theta(), *self.whole.bounds()))[1]

        def residuals(move: Float[Array, " m"]) -> Float[Array, "K s"]:
            return self.whole.residuals(split.together(u, c + move[None, :])).reshape(split.n_groups, split.stretch)

        value, tangent = jax.linearize(residuals, jnp.zeros(split.width, c.dtype))
        columns = jax.vmap(tangent)(jnp.eye(split.width, dtype=c.dtype))
        gram, slopes = jnp.einsum("iks,jks->kij", columns, columns), jnp.einsum("iks,ks->ki", columns, value)
        best = best_in_box(gram, slopes, c, split.bounds(self.whole))
        left = value + jnp.einsum("ki,iks->ks", best - c, columns)
        return best, 0.5 * jnp.sum(left * left)
