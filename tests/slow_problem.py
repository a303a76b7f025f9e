"""A problem that takes its time without a processor: for tests of what happens meanwhile. Copied beside a manifest."""

import os
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


def _wait(value):
    time.sleep(float(os.environ.get("SLOW_PAUSE_S", "0")))
    return np.asarray(value)


class Slow(Problem):
    """r = (x, x²), after as many seconds as the environment variable SLOW_PAUSE_S says: no run id knows of it."""

    space: ThetaSpace = eqx.field(static=True)
    weight: jax.Array

    def __init__(self, weight: float = 1.0):
        self.space = ThetaSpace((Parameter(name="x", initial=1.0),))
        self.weight = jnp.asarray(weight)

    def residuals(self, theta):
        shape = jax.ShapeDtypeStruct((), jnp.float64)
        x = jax.pure_callback(_wait, shape, theta[0], vmap_method="sequential")
        return self.weight * jnp.stack([x, x * x])
