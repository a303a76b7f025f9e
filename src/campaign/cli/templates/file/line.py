"""A straight line through noisy points: a problem in a file next to its manifest."""

from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace, Varying

SPACE = ThetaSpace(
    (
        Parameter(name="intercept", initial=0.0, unit="m"),
        Parameter(name="slope", initial=0.0, unit="m/s"),
    )
)


class Line(Problem):
    """y = intercept + slope·t. Arrays may differ from run to run; `space` is part of what gets compiled."""

    space: ThetaSpace = eqx.field(static=True)
    time: np.ndarray  # [s]
    height: np.ndarray  # [m]
    noise: np.ndarray  # error of one height [m]

    def residuals(self, theta):
        return (theta[0] + theta[1] * self.time - self.height) / self.noise

    def derived(self, theta):
        return {"height_at_10s": theta[0] + 10.0 * theta[1]}

    def units(self):
        return {"height_at_10s": "m"}


def line(noise: float = 0.1, data_seed: Annotated[int, Varying()] = 0) -> Line:
    """A line with intercept 1 m and slope 2 m/s, seen at 50 times with Gaussian noise.

    The arguments are the options of the problem: `"problem": {"name": "line.py:line", "noise": 0.2}`.
    """
    time = np.linspace(0.0, 5.0, 50)
    height = 1.0 + 2.0 * time + noise * np.random.default_rng(data_seed).standard_normal(50)
    return Line(SPACE, jnp.asarray(time), jnp.asarray(height), jnp.asarray(noise))


line.version = "1"  # raise it when the numbers change: it is part of the run ids
