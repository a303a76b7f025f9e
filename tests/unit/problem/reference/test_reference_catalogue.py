"""The reference problems: what they compute, and many at once as one by one."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import UnknownName
from campaign.identity import digest
from campaign.problem.reference import decay, gaussian, rosenbrock
from campaign.problem.reference.catalogue import (
    DecayOptions,
    GaussianOptions,
    NistOptions,
    RosenbrockOptions,
    decay_space,
    nist_space,
)
from campaign.problem.reference.nist_data import NIST_NAMES, TABLES

jax.config.update("jax_enable_x64", True)


def test_many_decays_are_the_single_ones():
    columns = {"data_seed": np.array([5, 0, 9]), "rate": np.array([0.3, 0.8, 2.0]), "sigma": np.array([0.1, 0.2, 0.3])}
    many = decay.build_many(DecayOptions(), columns)
    assert many.data.shape == (3, 100)
    for i in range(3):
        options = DecayOptions(
            data_seed=int(columns["data_seed"][i]), rate=columns["rate"][i], sigma=columns["sigma"][i]
        )
        one = decay.build(options)
        np.testing.assert_allclose(one.data, many.data[i], rtol=1e-15)
        np.testing.assert_array_equal(one.sigma, many.sigma[i])


def test_decay_residuals_at_the_truth_are_the_noise():
    problem = decay.build(DecayOptions(n=50, sigma=0.01, data_seed=4))
    signal = 2 * np.exp(-0.8 * np.linspace(0, 10, 50)) + 0.5 + 0.02 * np.linspace(0, 10, 50)
    theta = jnp.array([2.0, 0.8, 0.5, 0.02])
    np.testing.assert_allclose(problem.predict(theta)["signal"], signal, rtol=1e-14)
    np.testing.assert_allclose(problem.residuals(theta), (signal - problem.data) / 0.01, rtol=1e-9)
    assert 0.6 < np.var(problem.residuals(theta)) < 1.5
    np.testing.assert_allclose(problem.derived(theta)["half_life"], np.log(2) / 0.8)
    assert decay_space(DecayOptions()).names == ("amplitude", "rate", "offset", "drift")


def test_gaussian_log_likelihood_is_that_of_scipy():
    from scipy import stats

    problem = gaussian.build(GaussianOptions(d=3, mean=2.0, correlation=-0.4))
    covariance = np.array([[1, -0.8, 0.48], [-0.8, 4, -2.4], [0.48, -2.4, 9]])
    normal = stats.multivariate_normal(np.full(3, 2.0), covariance)
    for theta in ([0.0, 0.0, 0.0], [1.0, -2.0, 5.0]):
        expected = normal.logpdf(theta) - normal.logpdf(np.full(3, 2.0))
        np.testing.assert_allclose(problem.log_likelihood(jnp.array(theta)), expected, rtol=1e-12)


def test_rosenbrock_is_the_textbook_function():
    from scipy.optimize import rosen

    problem = rosenbrock.build(RosenbrockOptions(d=5))
    theta = np.array([-1.2, 0.3, 0.9, 1.4, 0.2])
    np.testing.assert_allclose(-problem.log_likelihood(jnp.asarray(theta)), rosen(theta), rtol=1e-13)


def test_nist_space_starts_where_nist_says():
    assert nist_space(NistOptions(dataset="Misra1a", start_point=1)).initial.tolist() == [500, 1e-4]
    assert nist_space(NistOptions(dataset="Rat42")).initial.tolist() == [75, 2.5, 0.07]


def test_nist_names_are_checked():
    with pytest.raises(UnknownName, match=r"Misra1x.*did you mean `Misra1"):
        nist_space(NistOptions(dataset="Misra1x"))


@pytest.mark.parametrize("name", NIST_NAMES)
def test_a_nist_table_is_what_it_was(name):
    document = json.loads((TABLES / f"{name}.json").read_text())
    assert document["name"] == name
    assert len(document["sha256_of_source"]) == 64
    assert digest(document["values"]) == document["sha256_of_values"]
    values = document["values"]
    assert {len(x) for x in values["x"]} == {len(values["y"])}
    assert {len(start) for start in values["starts"]} == {len(values["certified"])} == {len(values["certified_sd"])}
