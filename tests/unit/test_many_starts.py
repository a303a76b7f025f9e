"""Multi-start: an artificial model with two minima, screening, refinement, ties."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import campaign
from campaign.errors import InvalidValue, UnknownName
from campaign.problem.base import Problem
from campaign.science import choose_by_starts
from campaign.space import Parameter, ThetaSpace

T = np.linspace(0.0, 1.0, 30)
DATA = 4.0 * T + 1.0 + 0.05 * np.random.default_rng(0).standard_normal(30)


class Squared(Problem):
    """y = a² t + b + tilt·a: minima near a = ±2, equally deep where tilt is 0."""

    space: ThetaSpace = eqx.field(static=True)
    tilt: float = 0.0

    def residuals(self, theta):
        a, b = theta[0], theta[1]
        model = a**2 * jnp.asarray(T) + b
        return jnp.append((model - jnp.asarray(DATA)) / 0.05, self.tilt * (a - 2.0))


def squared(tilt=0.0):
    return Squared(
        ThetaSpace(
            (
                Parameter(name="a", initial=1.0, lower=-10.0, upper=10.0),
                Parameter(name="b", initial=0.0, lower=-10.0, upper=10.0),
            )
        ),
        tilt,
    )


@pytest.fixture(scope="module")
def found():
    return campaign.multistart(squared(), n_starts=12, starts=[{"a": -3.0}], screen=0.6, seed=3)


def test_an_artificial_model_with_two_minima_gives_two_basins(found):
    assert len(found.basins.found) == 2
    assert sorted(round(basin.theta["a"], 1) for basin in found.basins.found) == [-2.0, 2.0]
    assert found.basins.rivals == (0, 1)  # nothing in the data tells a from −a
    assert found.basins.unsettled == ()
    assert sum(len(basin.members) for basin in found.basins.found) == len(found.fits)
    assert choose_by_starts(found.basins, len(found.fits)).search == "multistart"


def test_screening_keeps_the_better_part_and_own_starts_come_first(found):
    assert len(found.starts) == 13
    assert [start.origin for start in found.starts] == ["given"] + 12 * ["design"]
    assert found.starts[0].values == {"a": -3.0}
    kept = [start.loss for start in found.starts if start.is_fitted]
    assert len(kept) == len(found.fits) == 8  # ⌈0.6 · 13⌉
    assert max(kept) <= min(start.loss for start in found.starts if not start.is_fitted)
    losses = [campaign.fit(squared(), "evaluate", start=found.starts[k].values).loss for k in (0, 5)]
    np.testing.assert_allclose([found.starts[k].loss for k in (0, 5)], losses, rtol=1e-12)


def test_all_fits_come_back_the_best_first(found):
    losses = [fit.loss for fit in found.fits]
    assert losses == sorted(losses)
    assert found.best is found.fits[0]
    assert sorted(found.order) == [k for k, start in enumerate(found.starts) if start.is_fitted]
    assert found.refined == 3
    assert found.scales == {"a": "linear", "b": "linear"}
    slope, offset = np.polyfit(T, DATA, 1)
    np.testing.assert_allclose([found.best.theta["a"] ** 2, found.best.theta["b"]], [slope, offset], rtol=1e-8)


def test_minima_that_the_data_tell_apart_are_no_rivals():
    result = campaign.multistart(squared(tilt=3.0), n_starts=8, screen=1.0, refine=0, seed=1)
    assert len(result.basins.found) == 2
    assert result.basins.rivals == ()
    assert result.basins.found[1].delta_chi2 == pytest.approx(9.0 * 16.0, rel=0.05)
    assert all(np.isnan(start.loss) and start.is_fitted for start in result.starts)
    assert result.refined == 0


def test_ties_are_one_basin():
    result = campaign.multistart(squared(), n_starts=6, ranges={"a": (1.0, 9.0)}, refine=0, screen=1.0)
    assert len(result.basins.found) == 1
    assert len(result.basins.found[0].members) == 6
    assert choose_by_starts(result.basins, 6).search == "local"


def test_what_cannot_be_is_said():
    with pytest.raises(InvalidValue, match="`screen` is 0"):
        campaign.multistart(squared(), screen=0.0)
    with pytest.raises(InvalidValue, match="without starts"):
        campaign.multistart(squared(), n_starts=0)
    with pytest.raises(UnknownName, match="`c` in `vary`"):
        campaign.multistart(squared(), vary=["c"])
