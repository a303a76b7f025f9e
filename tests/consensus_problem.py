"""Part `shard` of `of` of exponential waiting times; and a posterior of two modes."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.registry import Options, ProblemPlugin
from campaign.space import Parameter, ThetaSpace

N, RATE = 96, 2.0
TIMES = np.random.default_rng(5).exponential(1.0 / RATE, N)


class Times(Problem):
    """ln L = n ln λ − λ Σ t, flat in λ: the posterior of all is Gamma(n + 1, Σ t)."""

    n: Float[Array, ""]
    total: Float[Array, ""]
    apart: Float[Array, ""]
    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        def one(rate):
            return self.n * jnp.log(rate) - self.total * rate

        other = one(theta[0] * jnp.exp(-self.apart)) - self.apart  # the same once more, at a rate larger by e^apart
        return jnp.where(self.apart > 0, jnp.logaddexp(one(theta[0]), other), one(theta[0]))


class TimesOptions(Options):
    shard: int = 0
    of: int = 1
    apart: float = 0.0


def space(options):
    return ThetaSpace((Parameter(name="rate", initial=1.5, lower=0.0, transform="log", scale=0.3),))


def build(options):
    own = TIMES[options.shard :: options.of]
    numbers = {"n": float(len(own)), "total": own.sum(), "apart": options.apart}
    return Times(**{name: jnp.asarray(value) for name, value in numbers.items()}, space=space(options))


TIMES_PLUGIN = ProblemPlugin(name="times", version="1", options=TimesOptions, build=build, space=space)
