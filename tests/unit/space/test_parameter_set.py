"""Sets of parameters: order, names, draws, densities, designs, what is held, and JSON."""

import json

import jax
import numpy as np
import pytest
from scipy import stats

from campaign.errors import InvalidValue, UnknownName
from campaign.priors import Bound, LogNormal, Normal, ParameterSet, Uniform


def climate_like():
    return (
        ParameterSet({"sensitivity": Bound(Normal(3.0, 0.5), lower=1.5, upper=6.0)})
        .add("uptake", Uniform(0.5, 2.0))
        .add("aerosol", Normal(-1.0, 0.5))
        .add("capacity", LogNormal(2.0, 0.3), transform="log")
    )


def test_fluent_and_dictionary_are_the_same():
    fluent = ParameterSet().add("a", Uniform(0, 1)).add("b", Normal(0, 1))
    assert fluent == ParameterSet({"a": Uniform(0, 1), "b": Normal(0, 1)})
    assert fluent != ParameterSet({"b": Normal(0, 1), "a": Uniform(0, 1)})  # the order is that of theta


def test_names_and_bounds_in_order():
    parameters = climate_like()
    assert parameters.names == ("sensitivity", "uptake", "aerosol", "capacity")
    assert parameters.bounds == [(1.5, 6.0), (0.5, 2.0), (None, None), (0.0, None)]
    assert len(parameters) == 4


def test_a_name_is_given_once():
    with pytest.raises(InvalidValue, match="`uptake` is in the set already"):
        climate_like().add("uptake", Uniform(0, 1))
    with pytest.raises(InvalidValue, match="`x`: 3 is no prior"):
        ParameterSet({"x": 3})
    with pytest.raises(UnknownName, match="did you mean `log`"):
        ParameterSet().add("x", Uniform(0, 1), transform="logg")
    with pytest.raises(InvalidValue, match="transform `log` needs lower ≥ 0"):
        ParameterSet().add("x", Normal(0, 1), transform="log")


def test_ln_prior_is_the_sum_of_the_densities():
    parameters = climate_like()
    theta = np.array([2.5, 1.0, -0.7, 8.0])
    expected = (
        stats.truncnorm(-3, 6, 3, 0.5).logpdf(2.5)
        + stats.uniform(0.5, 1.5).logpdf(1.0)
        + stats.norm(-1, 0.5).logpdf(-0.7)
        + stats.lognorm(0.3, scale=np.exp(2)).logpdf(8.0)
    )
    assert parameters.ln_prior(theta) == pytest.approx(expected, rel=1e-13)
    rows = parameters.ln_prior(np.stack([theta, [1.4, 1.0, 0.0, 8.0], [np.nan, 1.0, 0.0, 8.0]]))
    np.testing.assert_allclose(rows, [expected, -np.inf, -np.inf], rtol=1e-13)
    assert ParameterSet({"x": Uniform(0, 1)}).ln_prior([0.5]) == 0
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), not 4 numbers"):
        parameters.ln_prior(theta[:3])


def test_draws_follow_the_priors_and_the_seed():
    parameters = climate_like()
    draws = parameters.sample(20_000, 5)
    assert draws.shape == (20_000, 4)
    for column, prior in zip(draws.T, parameters.priors, strict=True):
        assert stats.kstest(column, prior.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(draws, parameters.sample(20_000, np.random.default_rng(5)))
    key = jax.random.key(5)
    np.testing.assert_array_equal(parameters.sample(7, key), parameters.sample(7, jax.random.key_data(key)))
    assert not np.array_equal(parameters.sample(7, key), parameters.sample(7, jax.random.key(6)))


def test_a_latin_hypercube_fills_every_stratum_once():
    parameters = climate_like()
    points = parameters.design("lhs", 50, seed=3)
    for column, prior in zip(points.T, parameters.priors, strict=True):
        assert sorted(np.floor(prior.cdf(column) * 50).astype(int)) == list(range(50))
    few, many = parameters.design("sobol", 37, seed=3), parameters.design("sobol", 64, seed=3)
    np.testing.assert_array_equal(few, many[:37])
    with pytest.raises(UnknownName, match="`sobol`"):
        parameters.design("sobl", 8, seed=1)


def test_the_unit_cube_is_mapped_by_quantiles():
    parameters = climate_like()
    np.testing.assert_allclose(parameters.from_unit([0.5] * 4), [3.0, 1.25, -1.0, np.exp(2)], rtol=2e-3)
    assert parameters.from_unit(np.zeros((2, 3, 4))).shape == (2, 3, 4)
    assert np.isfinite(parameters.from_unit(np.zeros(4))).all()


def test_what_is_held_leaves_theta():
    parameters = climate_like().fix(aerosol=-1.1)
    assert parameters.names == ("sensitivity", "uptake", "capacity")
    assert parameters.fixed == {"aerosol": -1.1}
    assert parameters.values([3, 1, 8]) == {"sensitivity": 3, "uptake": 1, "aerosol": -1.1, "capacity": 8}
    assert parameters.sample(3, 0).shape == (3, 3)
    space = parameters.space()
    assert (space.free_names, space["aerosol"].initial) == (parameters.names, -1.1)
    with pytest.raises(InvalidValue, match="`uptake`: initial 9"):
        parameters.fix(uptake=9)
    with pytest.raises(UnknownName, match="did you mean `uptake`"):
        parameters.fix(uptak=1)


def test_the_space_has_bounds_priors_and_transforms():
    parameters = climate_like().add("scale", LogNormal(0, 1), transform="auto").add("share", Uniform(0, 1), "auto")
    space = parameters.space()
    assert space.names == parameters.names
    assert [p.transform for p in space.parameters] == ["identity"] * 3 + ["log", "log", "logit"]
    np.testing.assert_array_equal(space.lower, [1.5, 0.5, -np.inf, 0, 0, 0])
    np.testing.assert_allclose(space.initial[:2], [3.0, 1.25], rtol=2e-3)
    assert space["aerosol"].typical == pytest.approx(0.005, rel=1e-3)  # 1 % of its standard deviation
    assert hash(space) == hash(parameters.space())


def test_json_keeps_the_order_and_everything_else():
    parameters = climate_like().fix(uptake=0.8)
    text = json.dumps(parameters.document(), sort_keys=True, allow_nan=False)
    again = ParameterSet.parse(json.loads(text))
    assert again == parameters
    assert again.space() == parameters.space()
    with pytest.raises(InvalidValue, match="is no parameter"):
        ParameterSet.parse([{"name": "x", "priors": {}}])
