"""The Rosenbrock valley as least squares: the loss is 0 at (1, 1, …)."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.problem.reference.catalogue import RosenbrockOptions, rosenbrock_space
from campaign.space import ThetaSpace


class Rosenbrock(Problem):
    """r = √2·(√steepness·(x_{i+1} − x_i²), 1 − x_i), i = 1 … d−1, so that ½ r·r is the textbook function.

    For 4 ≤ d ≤ 7 there is a second minimum near (−1, 1, 1, …) (Shang & Qiu 2006, Evol. Comput. 14, 119).

    Source: Rosenbrock 1960, Comput. J. 3, 175; chained form: Moré, Garbow & Hillstrom 1981, ACM TOMS 7, 17.
    """

    space: ThetaSpace = eqx.field(static=True)
    steepness: Float[Array, ""]

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        valley = jnp.sqrt(2.0 * self.steepness) * (theta[1:] - theta[:-1] ** 2)
        return jnp.concatenate([valley, jnp.sqrt(2.0) * (1.0 - theta[:-1])])


def build(options: RosenbrockOptions) -> Rosenbrock:
    return Rosenbrock(rosenbrock_space(options), jnp.asarray(options.steepness))
