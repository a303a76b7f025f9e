"""The Python and the YAML of the design document, as they stand there, with our imports."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets as sets
from campaign_xpcs.data.yaml_config import parse_config

N = 30


@pytest.fixture(scope="module")
def problem():
    """What the document's example takes for granted: a model, data, a start, bounds."""
    xdata = np.linspace(0.0, 5.0, 40)
    truth = np.array([2000.0, 1e-3])

    def model_func(x, D0, gamma):
        return 1e-4 * D0 * jnp.exp(-1e3 * gamma * x)

    ydata = np.asarray(model_func(xdata, *truth)) + 0.01 * np.random.default_rng(0).normal(size=40)
    bounds = (np.array([100.0, 1e-6]), np.array([50000.0, 0.01]))
    return model_func, xdata, ydata, np.array([20000.0, 5e-3]), bounds, truth


def test_the_example_of_cmaes(problem, capsys):
    model_func, xdata, ydata, p0, bounds, truth = problem
    from campaign_xpcs.api.cmaes import CMAESWrapper, CMAESWrapperConfig

    # Create wrapper with custom config
    wrapper = CMAESWrapper(CMAESWrapperConfig(
        preset="cmaes",
        refine_with_nlsq=True,
        refinement_ftol=1e-10,
    ))  # fmt: skip

    # Check if CMA-ES is appropriate for this problem
    if wrapper.should_use_cmaes(bounds, scale_threshold=1000):
        result = wrapper.fit(model_func, xdata, ydata, p0, bounds)
        print(f"Chi²: {result.chi_squared:.4e}")
        print(f"Refined: {result.nlsq_refined}")
        print(f"Improvement: {result.diagnostics.get('chi_squared_improvement', 0):.2%}")

    from scipy.optimize import curve_fit

    best, covariance = curve_fit(lambda x, a, b: np.asarray(model_func(x, a, b)), xdata, ydata, truth)
    np.testing.assert_allclose(result.parameters, best, rtol=1e-5)
    np.testing.assert_allclose(result.covariance, covariance, rtol=1e-3)
    assert capsys.readouterr().out.splitlines()[1:] == ["Refined: True", "Improvement: 99.94%"]
    assert {"generations", "evaluations", "restarts", "chi_squared_improvement"} <= set(result.diagnostics)
    again = wrapper.fit(model_func, xdata, ydata, p0, bounds)
    np.testing.assert_array_equal(again.parameters, result.parameters)


def test_cmaes_without_refinement_gives_no_errors_and_is_never_worse_than_its_start(problem):
    model_func, xdata, ydata, _, bounds, truth = problem
    from campaign_xpcs.api.cmaes import CMAESWrapper, CMAESWrapperConfig

    config = CMAESWrapperConfig(refine_with_nlsq=False, max_generations=2, max_restarts=0, restart_strategy="none")
    found = CMAESWrapper(config).fit(model_func, xdata, ydata, truth, bounds)
    assert found.covariance is None
    assert not found.nlsq_refined
    assert found.chi_squared <= np.sum((np.asarray(model_func(xdata, *truth)) - ydata) ** 2) * (1 + 1e-12)


def test_cmaes_of_a_function_of_numpy(problem):
    _, xdata, ydata, p0, bounds, truth = problem
    from campaign_xpcs.api.cmaes import CMAESWrapper, CMAESWrapperConfig

    def plain(x, D0, gamma):
        return np.array([1e-4 * float(D0) * np.exp(-1e3 * float(gamma) * t) for t in x])

    found = CMAESWrapper(CMAESWrapperConfig(preset="cmaes-fast", max_restarts=1)).fit(plain, xdata, ydata, p0, bounds)
    np.testing.assert_allclose(found.parameters, truth, rtol=0.1)
    assert found.nlsq_refined


@pytest.mark.long
def test_the_example_of_the_warm_start():
    from campaign_xpcs import fit_mcmc_jax, fit_nlsq_jax

    made = sets.make(3, N, sigma=0.001)
    k, i, j = np.nonzero(np.broadcast_to(np.triu(np.ones((N, N), bool), 1), (3, N, N)))
    pooled_data, t1_pooled, t2_pooled = made["c2"][k, i, j], sets.DT * i, sets.DT * j
    phi_pooled, q, L = made["phi_deg"][k], sets.Q, sets.GAP
    held = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}
    given = {"analysis_mode": "laminar_flow", "model": {"shear_model": "homodyne-compat"}}
    given["initial_parameters"] = {"values": dict(sets.NEAR), "fixed_parameters": held}
    given["experimental_data"] = {"sigma": 0.001}
    few = {"num_warmup": 150, "num_samples": 150, "num_chains": 2, "min_ess": 20.0}
    whole = parse_config({**given, "optimization": {"nlsq": {"loss": "linear"}, "cmc": few}})
    config = SimpleNamespace(optimization=SimpleNamespace(nlsq=whole, cmc=whole.optimization.cmc))

    # Step 1: Run NLSQ first
    nlsq_result = fit_nlsq_jax(
        data=pooled_data,
        t1=t1_pooled,
        t2=t2_pooled,
        phi=phi_pooled,
        q=q,
        L=L,
        analysis_mode="laminar_flow",
        config=config.optimization.nlsq,
    )

    # Step 2: Pass NLSQ result to CMC for warm-start
    cmc_result = fit_mcmc_jax(
        data=pooled_data,
        t1=t1_pooled,
        t2=t2_pooled,
        phi=phi_pooled,
        q=q,
        L=L,
        analysis_mode="laminar_flow",
        config=whole,
        cmc_config=config.optimization.cmc,
        nlsq_result=nlsq_result,  # CRITICAL: Provides warm-start
    )
    assert nlsq_result.success
    for name in ("D0", "alpha", "gamma_dot_t0", "beta", "phi0"):
        assert abs(cmc_result.mean[name] - nlsq_result.values[name]) < 0.5 * nlsq_result.errors[name]
    assert abs(cmc_result.mean["D0"] / nlsq_result.values["D0"] - 1) < 0.10
    assert cmc_result.divergence_rate < 0.05


def test_the_names_of_the_document_can_be_had():
    import campaign_xpcs

    for name in (
        "fit_nlsq_jax", "fit_nlsq_multistart", "fit_with_cmaes", "fit_mcmc_jax", "CMAESWrapper", "CMAESWrapperConfig",
        "CMAESResult", "NLSQConfig", "OptimizationResult", "NLSQStrategy", "select_nlsq_strategy",
        "should_use_stratification", "create_angle_stratified_data", "create_angle_stratified_indices", "load_config",
    ):  # fmt: skip
        assert getattr(campaign_xpcs, name).__name__ == name
