"""The plug-in: options, space, and what varies between runs."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from campaign_cosmology.data.tables import table
from campaign_cosmology.model.problem import build, build_many
from campaign_cosmology.plugin import COSMOLOGY

Options = COSMOLOGY.options


def test_the_plugin_knows_its_space_without_jax():
    code = (
        "import sys\n"
        "from campaign_cosmology.plugin import COSMOLOGY\n"
        "print(COSMOLOGY.space(COSMOLOGY.options(model='pbuf', data=['cmb'])).free_names)\n"
        "assert 'jax' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "('H0', 'Om0', 'Obh2', 'k_sat')"


@pytest.mark.parametrize(
    ("model", "data", "free"),
    [
        ("lcdm", ["cmb"], ("H0", "Om0", "Obh2")),
        ("lcdm", ["cmb:cmb4"], ("H0", "Om0", "Obh2", "ns")),
        ("pbuf", ["cmb", "bao_ani"], ("H0", "Om0", "Obh2", "k_sat")),
        ("lcdm", ["bao_ani"], ("H0", "Om0")),
        ("lcdm", ["sn"], ("Om0",)),
    ],
)
def test_what_moves_by_default(model, data, free):
    options = Options(model=model, data=data)
    assert COSMOLOGY.space(options).free_names == free
    assert build(options).space == COSMOLOGY.space(options)


def test_bounds_and_units_of_the_documents():
    space = COSMOLOGY.space(Options(model="pbuf"))
    bounds = {p.name: (p.lower, p.upper) for p in space.parameters}
    assert bounds["H0"] == (20.0, 150.0)
    assert bounds["k_sat"] == (0.1, 2.0)
    assert bounds["alpha"] == (1e-6, 1e-2)
    assert space["alpha"].transform == space["Rmax"].transform == "log"
    assert space["H0"].unit == "km/s/Mpc"


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "wwcdm"},
        {"own": ["a.txt"]},
        {"neutrinos": "one-massive", "constants": "chw19"},
        {"priors": {"mnu": {"normal": [0.06, 0.01]}}},
        {"priors": {"H0": {"cauchy": [70, 1]}}},
        {"data": ["cmb", "cmb:cmb4"]},
        {"data": []},
        {"cov_scale": 0.0},
        {"bootstrap": -1},
        {"bootstrap": 1.5},
        {"zstarr": "HS96"},
        {"cov_scale": "1"},
    ],
)
def test_options_refuse(wrong):
    with pytest.raises(ValidationError):
        Options(**wrong)


def test_covariance_scale_divides_chi2_and_keeps_the_shape():
    theta = jnp.asarray(build(Options()).space.initial)
    options = {"data": ["cmb", "bao_ani", "sn"]}
    one, two = build(Options(**options)), build(Options(**options, cov_scale=4.0))
    np.testing.assert_allclose(two.residuals(theta), one.residuals(theta) / 2.0, rtol=1e-12)
    assert float(two.derived(theta)["M_sn"]) == pytest.approx(float(one.derived(theta)["M_sn"]), rel=1e-12)
    again = build(Options(**options))
    np.testing.assert_array_equal(again.residuals(theta), one.residuals(theta))  # nothing compounded in a cache


def test_supernova_residuals_are_the_analytic_marginal():
    """r·r = A − B²/C with A = d'C⁻¹d, B = 1'C⁻¹d, C = 1'C⁻¹1; M = −B/C."""
    problem = build(Options(data=["sn"]))
    theta = jnp.asarray(problem.space.initial)
    t = table("sn")
    d = np.asarray(problem.predict(theta)["sn"]) - t.value
    inverse = np.linalg.inv(t.covariance)
    A, B, C = d @ inverse @ d, inverse.sum(0) @ d, inverse.sum()
    r = problem.residuals(theta)
    assert float(r @ r) == pytest.approx(A - B * B / C, rel=1e-10)
    assert float(problem.derived(theta)["M_sn"]) == pytest.approx(-B / C, rel=1e-10)
    assert problem.n_profiled == 1
    # without an anchor, supernovae know nothing of H0 (what is left is radiation, Ω_r = ω_r/h²)
    gradient = jax.grad(lambda th: jnp.sum(problem.residuals(th) ** 2))(theta)
    assert abs(float(gradient[0])) < 1e-5 * abs(float(gradient[1]))


def test_bootstrap_data_depend_on_the_number_and_the_data_set_only():
    theta = jnp.asarray(build(Options()).space.initial)
    both = build(Options(data=["cmb", "bao_ani"], bootstrap=3))
    alone = build(Options(data=["bao_ani"], bootstrap=3, model="pbuf"))
    np.testing.assert_array_equal(both.noise[3:], alone.noise)
    assert not np.array_equal(build(Options(data=["cmb"], bootstrap=4)).noise, both.noise[:3])
    # y_b = y + chol(s C) z, evaluated the long way round
    t, s = table("bao_ani"), 2.5
    scaled = build(Options(data=["bao_ani"], bootstrap=3, cov_scale=s))
    y_b = t.value + np.linalg.cholesky(s * t.covariance) @ np.asarray(alone.noise)
    d = np.asarray(scaled.predict(theta)["bao_ani"]) - y_b
    r = scaled.residuals(theta)
    assert float(r @ r) == pytest.approx(d @ np.linalg.solve(s * t.covariance, d), rel=1e-9)


def test_bootstrap_noise_is_standard_normal():
    many = build_many(Options(data=["sn"]), {"bootstrap": np.arange(1, 2001)})
    z = np.asarray(many.noise)
    assert z.shape == (2000, 22)
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert np.abs(np.cov(z.T) - np.eye(22)).max() < 0.15


def test_build_many_equals_building_one_by_one():
    options = Options(data=["cmb", "bao_ani", "sn"])
    columns = {"cov_scale": np.array([1.0, 0.5, 2.0]), "bootstrap": np.array([0, 7, 7])}
    many = build_many(options, columns)
    theta = jnp.asarray(many.space.initial)
    batched = jax.vmap(lambda problem: problem.residuals(theta))(many)
    for i in range(3):
        one = build(
            Options(data=options.data, cov_scale=float(columns["cov_scale"][i]), bootstrap=int(columns["bootstrap"][i]))
        )
        assert jax.tree.structure(one) == jax.tree.structure(many)
        np.testing.assert_allclose(batched[i], one.residuals(theta), rtol=1e-12)
    only_scale = build_many(options, {"cov_scale": np.array([1.0, 2.0])})
    assert only_scale.noise.shape == (2, 38)


def test_outside_the_domain_is_nan_not_a_big_number():
    problem = build(Options(data=["bao_ani"]))
    space = problem.space
    theta = jnp.asarray(space.initial).at[space.index("Om0")].set(-2.0)
    assert np.isnan(np.asarray(problem.residuals(theta))).any()


def test_a_setting_moves_only_with_a_prior_beside_cmb_priors():
    from campaign.science import InvalidValue
    from campaign_cosmology.model.options import check, space

    free = ("H0", "Om0", "Obh2", "Neff")
    options = Options(data=["cmb", "bao_ani"])
    with pytest.raises(InvalidValue, match="`Neff` is free beside CMB"):
        check(options, space(options).with_free(free))
    with_prior = Options(data=["cmb", "bao_ani"], priors={"Neff": {"normal": [3.046, 0.2]}})
    assert "approximation" in str(check(with_prior, space(with_prior).with_free(free)))
    alone = Options(data=["bao_ani"])
    assert check(alone, space(alone).with_free(("H0", "Om0", "Neff"))) is None
    assert "H0 and Obh2 are one direction" in str(check(alone, space(alone).with_free(free)))
    known = Options(data=["bao_ani"], priors={"Obh2": {"normal": [0.02218, 0.00055]}})
    assert check(known, space(known).with_free(free)) is None
