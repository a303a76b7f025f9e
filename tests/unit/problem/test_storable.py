"""Names and shapes of what a problem gives are checked before anything runs."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.traceable import require_traceable
from campaign.space import Parameter, ThetaSpace


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    key: str = eqx.field(static=True)
    dims: tuple[str, ...] = eqx.field(static=True, default=())
    n_derived: int = eqx.field(static=True, default=0)

    def predict(self, theta):
        return {self.key: theta[0] * jnp.ones((5, 3))}

    def coordinates(self):
        return {self.key: {dim: np.arange(n) for dim, n in zip(self.dims, (5, 3), strict=False)}}

    def derived(self, theta):
        return {"twice": 2 * theta[0] * jnp.ones(self.n_derived) if self.n_derived else 2 * theta[0]}


SPACE = ThetaSpace((Parameter(name="a", initial=1.0),))


@pytest.mark.parametrize(
    "key", ["flux/blue", "/etc", "..", "", " ", "x" * 300, "zarr.json", "loss", "theta", "run_id", "a\x00"]
)
def test_a_name_that_cannot_be_stored_is_refused(key):
    with pytest.raises(InvalidValue, match="predicts"):
        require_traceable(Line(SPACE, key), "line.py:line")


def test_a_prediction_is_not_called_like_a_dimension():
    with pytest.raises(InvalidValue, match="predicts `signal`: that is the name of a dimension"):
        require_traceable(Line(SPACE, "signal", ("signal", "b")), "line.py:line")
    with pytest.raises(InvalidValue, match="predicts is `step`: `step` is what every program stores"):
        require_traceable(Line(SPACE, "signal", ("step", "b")), "line.py:line")


def test_derived_numbers_are_scalars():
    with pytest.raises(InvalidValue, match=r"derives `twice` with shape \(2,\)"):
        require_traceable(Line(SPACE, "signal", n_derived=2), "line.py:line")


@pytest.mark.parametrize("key", ["signal", "Δφ λ", "x.y", "C_l"])
def test_other_names_are_good(key):
    require_traceable(Line(SPACE, key, ("λ", "b")), "line.py:line")
