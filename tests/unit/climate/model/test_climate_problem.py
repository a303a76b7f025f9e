"""The problem `two-layer`: options, outputs, residuals against likelihood, and bits that do not depend on the batch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from campaign.science import InvalidValue, UnknownName, fit, start_jax
from campaign_climate.data.parameter_sets import parameter_sets
from campaign_climate.model.options import TwoLayerOptions, space
from campaign_climate.model.problem import TwoLayerProblem, build, build_many
from campaign_climate.model.synthetic import truth

start_jax()
OBSERVED = {"until": 2021, "extra_sigma": {"Surface Temperature": 0.1}}


def theta_of(problem, **values):
    return jnp.asarray(problem.space.theta(values))


@pytest.fixture(scope="module")
def problem():
    options = {**OBSERVED, "ranges": ["ar6:ecs", "ar6:tcr", "ar6:aerosol"], "rho": {"Surface Temperature": 0.5}}
    return build(TwoLayerOptions(**options))


def test_residuals_are_the_square_root_of_the_likelihood(problem):
    theta = theta_of(problem, lambda0=1.3, efficacy=1.2, aerosol_scale=0.8)
    r = jax.jit(lambda t: problem.residuals(t))(theta)
    assert r.shape == (172 + 51 + 3,)
    log_likelihood = jax.jit(lambda t: problem.log_likelihood(t))(theta)
    assert log_likelihood == pytest.approx(-0.5 * float(np.sum(np.asarray(r) ** 2)), rel=1e-12)


def test_derived_numbers(problem):
    theta = theta_of(problem, lambda0=1.31, aerosol_scale=0.5)
    found = {k: float(v) for k, v in jax.jit(lambda t: problem.derived(t))(theta).items()}
    assert found["ecs"] == pytest.approx(3.93 / 1.31, rel=1e-12)
    assert 0.5 * found["ecs"] < found["tcr"] < found["ecs"]
    whole = float(jax.jit(lambda t: problem.derived(t))(theta_of(problem))["aerosol_forcing"])
    assert found["aerosol_forcing"] == pytest.approx(0.5 * whole, rel=1e-12)
    assert -1.5 < whole < -0.9  # assessed: -1.3 (-2.0 to -0.6)
    assert found["chi2"] == pytest.approx(-2 * float(problem.log_likelihood(theta)), rel=1e-10)
    assert found["rmse_surface_temperature"] < 0.3
    assert 0.5 < found["r2_ocean_heat_content"] <= 1.0


@pytest.mark.parametrize("rho", [{}, {"Surface Temperature": 0.5}])
def test_bits_do_not_depend_on_how_many_are_computed_at_once(rho):
    """A batch of one would be compiled to other code: nothing computes one, runners and blocks fill it up."""
    sizes = (2, 7, 64, 256, 1024)
    problem = build(TwoLayerOptions(**OBSERVED, rho=rho, ranges=["ar6:ecs", "ar6:tcr", "ar6:aerosol"]))
    rng = np.random.default_rng(0)
    own = np.tile(np.asarray(problem.space.initial), (max(sizes), 1))
    own[:, problem.space.index("lambda0")] = rng.uniform(0.6, 2.5, len(own))
    own[:, problem.space.index("eta")] = rng.uniform(0.3, 1.4, len(own))
    batch = jax.jit(jax.vmap(lambda t: problem.log_likelihood(t)))
    whole = np.asarray(batch(own))
    for size in sizes:
        parts = np.concatenate([np.asarray(batch(own[i : i + size])) for i in range(0, len(own) // size * size, size)])
        np.testing.assert_array_equal(parts, whole[: len(parts)])


def test_steps_agree_with_the_exact_solution():
    exact, steps = (build(TwoLayerOptions(**OBSERVED, solver=solver, steps_per_year=10)) for solver in ("exact", "rk4"))
    a = jax.jit(lambda t: exact.log_likelihood(t))(theta_of(exact))
    b = jax.jit(lambda t: steps.log_likelihood(t))(theta_of(steps))
    assert float(a) == pytest.approx(float(b), rel=1e-6)
    assert "a" in steps.space.names
    assert "a" not in exact.space.names


def test_priors_choose_what_moves_and_narrow_the_bounds():
    own = space(
        TwoLayerOptions(
            priors={"eta": {"uniform": [0.2, 1.6]}, "efficacy": {"bound": {"of": {"normal": [1.3, 0.3]}, "lower": 1}}}
        )
    )
    assert own.free_names == ("efficacy", "eta")
    assert (own["eta"].lower, own["eta"].upper) == (0.2, 1.6)
    assert (own["efficacy"].lower, own["efficacy"].upper) == (1.0, 4.0)
    assert space(TwoLayerOptions()).free_names == ("lambda0", "eta", "heat_capacity_surface")
    assert "aerosol_scale" not in space(TwoLayerOptions(forcing="ssp245")).names


@pytest.mark.parametrize("name", ["cmip5", "cmip6"])
def test_parameters_of_every_climate_model_are_allowed(name):
    own = space(TwoLayerOptions(observations=[]))
    for values in parameter_sets(name).values():
        own.theta(values)


@pytest.mark.parametrize(
    "options",
    [
        {"forcing": "ssp000"},
        {"observations": ["gmst:none"]},
        {"ranges": ["ar6:none"]},
        {"priors": {"albedo": {"uniform": [0, 1]}}},
        {"priors": {"eta": {"unifrom": [0, 1]}}},
        {"reference": {"Surface Temperature": [1900, 1850]}},
        {"relative_error": 0.0},
        {"solver": "euler"},
    ],
)
def test_options_that_cannot_be_are_refused_when_they_are_read(options):
    with pytest.raises((ValidationError, UnknownName, InvalidValue)):
        TwoLayerOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 1840}, "all 0 values|none"),
        ({"last_year": 2000}, "no `Surface Temperature` at 2001"),
        ({"observations": ["gmst:igcc2024"]}, "no uncertainty at index 0"),
        ({"extra_sigma": {"Sea Level": 1.0}}, "`Sea Level`"),
        ({"outputs": ["Sea Level"]}, "`Sea Level`"),
        ({"forcing": "ssp245", "ranges": ["ar6:aerosol"]}, "tell aerosols apart"),
    ],
)
def test_pieces_that_do_not_belong_together_are_refused_when_they_are_built(options, message):
    with pytest.raises(InvalidValue, match=message):
        build(TwoLayerOptions(**options))


def test_without_observations_it_predicts():
    own = build(TwoLayerOptions(observations=[], forcing="ssp119", last_year=2100, outputs=["Heat Uptake"]))
    assert not isinstance(own, TwoLayerProblem)
    found = fit(
        "two-layer",
        "evaluate",
        options={"observations": [], "forcing": "ssp119", "outputs": ["Surface Temperature|End"]},
    )
    assert found.outcome == "converged"
    assert found.arrays["Surface Temperature|End"].shape == (551,)
    assert 1.0 < found.arrays["Surface Temperature|End"][300] < 3.0


def test_least_squares_find_the_maximum_of_the_likelihood():
    found = fit("two-layer", "trf", options=OBSERVED)
    assert found.outcome == "converged"
    problem = build(TwoLayerOptions(**OBSERVED))
    slope = jax.jit(jax.grad(lambda t: problem.log_likelihood(t)))(theta_of(problem, **found.theta))
    free = [problem.space.index(name) for name in problem.space.free_names]
    spread = np.array([found.stderr[name] for name in problem.space.free_names])
    assert np.abs(np.asarray(slope)[free] * spread).max() < 1e-4


PRIORS = {"lambda0": {"uniform": [0.8, 1.6]}, "eta": {"uniform": [0.4, 1.2]}}


def test_synthetic_data_are_the_model_with_noise_of_the_stated_size():
    options = {**OBSERVED, "priors": PRIORS, "rho": {"Surface Temperature": 0.6}}
    options["reference"] = {"Surface Temperature": None, "Ocean Heat Content": None}
    many = build_many(TwoLayerOptions(**options), {"synthetic": np.arange(1, 201)})
    observed = build(TwoLayerOptions(**options))
    theta = np.stack([observed.space.theta(truth(observed.space, b)) for b in range(1, 201)])
    assert theta[:, observed.space.index("lambda0")].min() >= 0.8
    r = []
    for i in range(200):
        values = [one.values[i] for one in many.compared]
        one = eqx.tree_at(lambda p: [c.values for c in p.compared], observed, values)
        r.append(one)
    residuals = jax.jit(lambda p, t: p.residuals(t))
    r = np.stack([residuals(one, t) for one, t in zip(r, theta, strict=True)])
    assert stats.kstest(r.ravel(), "norm").pvalue > 1e-3
    lagged = np.corrcoef(r[:, :171].ravel(), r[:, 1:172].ravel())[0, 1]
    assert abs(lagged) < 4 / np.sqrt(200 * 171)


def test_a_data_set_is_the_same_alone_and_among_others():
    options = {**OBSERVED, "priors": PRIORS}
    many = build_many(TwoLayerOptions(**options), {"synthetic": np.array([7, 0, 3])})
    for i, number in enumerate((7, 0, 3)):
        alone = build(TwoLayerOptions(**options, synthetic=number))
        for a, b in zip(alone.compared, many.compared, strict=True):
            np.testing.assert_allclose(a.values, b.values[i], rtol=1e-12, atol=1e-12)
    with pytest.raises(InvalidValue, match="need `priors`"):
        build(TwoLayerOptions(synthetic=1))
