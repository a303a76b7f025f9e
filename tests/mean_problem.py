"""A problem file that reads and imports what a test says: the mean of some numbers."""

_SOURCE = """
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace
{imports}

class Mean(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: np.ndarray

    def residuals(self, theta):
        return theta[0] - self.y


def mean(k: int = 1) -> Mean:
    print("building", k)
    y = {values}
    return Mean(ThetaSpace((Parameter(name="a", initial=0.0),)), jnp.asarray(y, float))
"""


def mean_problem(values: str = "np.ones(3) * k", imports: str = "") -> str:
    """The text of a file with `mean(k)`, which fits `values` (an expression in k); it prints when it builds."""
    return _SOURCE.format(imports=imports, values=values)
