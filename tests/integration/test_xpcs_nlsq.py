"""fit_nlsq_jax: golden χ², both forms of a call, every mode, every strategy, faults, and where it begins."""

import numpy as np
import pytest

import xpcs_sets as sets
from campaign.science import InvalidValue, UsageError
from campaign_xpcs.api import fitting
from campaign_xpcs.api.inputs import request
from campaign_xpcs.api.nlsq import fit_nlsq_jax, fit_nlsq_multistart, fit_with_cmaes, problem_of
from campaign_xpcs.data.maps import two_time_maps

N = 24
STATIC = {"D0": 2000.0, "alpha": -0.3, "D_offset": 100.0}
HELD = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}  # so few frames do not tell them
START = {name: value for name, value in sets.NEAR.items() if name not in HELD}
TIMES = sets.DT * np.arange(N)


def settings(values=True, held=HELD, **nlsq):
    found = {"analysis_mode": "laminar_flow", "model": {"shear_model": "homodyne-compat"}}
    found["initial_parameters"] = {"values": dict(sets.NEAR) if values else {}, "fixed_parameters": held}
    return {**found, "optimization": {"nlsq": nlsq}}


@pytest.fixture(scope="module")
def made():
    return sets.make(3, N)


@pytest.fixture(scope="module")
def data(made):
    t1, t2 = np.meshgrid(TIMES, TIMES, indexing="ij")
    return {
        "phi_angles_list": made["phi_deg"],
        "c2_exp": made["c2"],
        "wavevector_q_list": [made["q"]],
        "t1": t1,
        "t2": t2,
        "sigma": made["sigma"],
        "dt": made["dt_s"],
        "L": made["gap"],
    }


@pytest.fixture(scope="module")
def plain(data):
    return fit_nlsq_jax(data, settings())


def test_the_golden_optimum():
    made = sets.make(3, 100)
    found = fit_nlsq_jax(two_time_maps(**made), settings(held={}))
    assert 2.0 * found.chi_squared == pytest.approx(sets.CHI2[3, 100], rel=1e-9)
    assert (found.success, found.convergence_status, found.quality_flag) == (True, "converged", "good")
    assert found.dof == 3 * 4950 - 13
    assert found.names[:6] == tuple(f"{s}[{k}]" for s in ("contrast", "offset") for k in range(3))
    assert len(found.names) == 13


def test_both_forms_of_a_call_are_one(data, plain):
    k, i, j = np.meshgrid(np.arange(3), np.arange(N), np.arange(N), indexing="ij")
    pooled = fit_nlsq_jax(
        data=data["c2_exp"].ravel(),
        t1=TIMES[i].ravel(),
        t2=TIMES[j].ravel(),
        phi=data["phi_angles_list"][k].ravel(),
        q=sets.Q,
        L=sets.GAP,
        sigma=sets.SIGMA,
        analysis_mode="laminar_flow",
        config=settings(),
    )
    assert pooled.chi_squared == pytest.approx(plain.chi_squared, rel=1e-12)
    assert pooled.n_data == plain.n_data == 3 * N * (N - 1) // 2


def test_a_list_of_points_may_have_gaps(data, plain):
    rng = np.random.default_rng(0)
    k, i, j = np.nonzero(rng.random((3, N, N)) < 0.3)
    some = fit_nlsq_jax(
        data=data["c2_exp"][k, i, j],
        t1=TIMES[i],
        t2=TIMES[j],
        phi=data["phi_angles_list"][k],
        q=sets.Q,
        L=sets.GAP,
        sigma=sets.SIGMA,
        analysis_mode="laminar_flow",
        config=settings(),
    )
    pairs = {(a, min(b, c), max(b, c)) for a, b, c in zip(k.tolist(), i.tolist(), j.tolist(), strict=True) if b != c}
    assert some.n_data == len(pairs)
    assert 0.8 < some.reduced_chi_squared < 1.2
    assert abs(some.values["phi0"] - plain.values["phi0"]) < 4 * some.errors["phi0"]


@pytest.mark.parametrize(
    ("mode", "scaling", "n_free"),
    [
        ("individual", "individual", 11),
        ("averaged", "averaged", 7),
        ("constant", "fixed", 5),
    ],
)
def test_every_mode_counts_what_it_fits(data, mode, scaling, n_free):
    """0.14: degrees of freedom in averaged mode."""
    found = fit_nlsq_jax(data, settings(per_angle_mode=mode, max_iterations=200))
    assert found.maps_info["scaling"] == scaling
    assert len(found.free) == n_free
    assert found.dof == 3 * N * (N - 1) // 2 - n_free
    if scaling != "individual":
        test = found.device_info["scaling_test"]
        assert test["is_rejected"]
        assert test["p_value"] < 1e-6
        assert found.quality_flag != "good"


@pytest.mark.parametrize("strategy", ["standard", "out_of_core", "hybrid"])
def test_every_strategy_comes_to_the_same_optimum(data, plain, strategy):
    found = fit_nlsq_jax(data, settings(target_chunk_size=300), strategy=strategy)
    assert found.chi_squared == pytest.approx(plain.chi_squared, rel=1e-8)
    for name, error in plain.errors.items():
        assert abs(found.values[name] - plain.values[name]) < 1e-3 * error
    assert found.device_info["strategy"] == strategy
    assert found.device_info["n_chunks"] == (1 if strategy == "standard" else -(-3 * 276 // 300))
    assert found.device_info["adapter"] == ("NLSQAdapter" if strategy == "standard" else "NLSQWrapper")


def test_a_cached_path_that_fails_falls_back_and_says_why(data, plain):
    asked = request(data, settings(), {}, None)
    problem, _ = problem_of(asked)

    def make(own, path):
        def broken(start, options):
            raise RuntimeError("the cached program is damaged")

        return broken if path.adapter == "NLSQAdapter" else fitting.run_path(own, path)

    found = fitting.fitted(asked, problem, START, make=make)
    assert found.device_info["fallback_occurred"] is True
    assert found.device_info["fallback_reason"] == "RuntimeError: the cached program is damaged"
    assert found.device_info["adapter"] == "NLSQWrapper"
    assert found.device_info["recovery_actions"] == []
    assert found.chi_squared == pytest.approx(plain.chi_squared, rel=1e-10)
    assert plain.device_info["fallback_occurred"] is False


def test_a_fit_that_fails_every_time_says_so(data):
    """0.14: an executor that hides a failure."""
    asked = request(data, settings(use_adapter=False), {}, None)
    problem, _ = problem_of(asked)

    def make(own, path):
        def broken(start, options):
            raise RuntimeError("no device")

        return broken

    found = fitting.fitted(asked, problem, START, make=make)
    assert (found.success, found.convergence_status, found.quality_flag) == (False, "failed", "poor")
    assert found.message == "RuntimeError: no device"
    assert found.device_info["recovery_actions"] == ["damped_restart", "multistart"]
    assert np.isnan(found.chi_squared)
    assert np.isnan(list(found.errors.values())).all()


def test_the_recovery_of_the_document_by_its_names(data):
    asked = request(data, settings(recovery="document", use_adapter=False), {}, None)
    problem, _ = problem_of(asked)

    def make(own, path):
        def broken(start, options):
            raise FloatingPointError("NaN")

        return broken

    found = fitting.fitted(asked, problem, START, make=make)
    actions = found.device_info["recovery_actions"]
    assert actions[0] == "bounds_reset"
    assert actions[1].startswith("geometric_mean_reset refused: no bounds above 0: alpha, beta, phi0")


def test_without_a_start_the_best_of_many_is_taken(data, plain):
    found = fit_nlsq_jax(data, settings(values=False))
    assert found.chi_squared <= plain.chi_squared * (1 + 1e-6)
    assert found.device_info["start"].startswith("the best of 16 starts")


@pytest.mark.long
def test_several_starts(data, plain):
    found = fit_nlsq_multistart(data, settings(), n_starts=6)
    assert found.device_info["global_search"] == "multistart"
    assert found.chi_squared <= plain.chi_squared * (1 + 1e-6)
    assert found.device_info["n_basins"] >= 1
    again = fit_nlsq_multistart(data, settings(), n_starts=6)
    np.testing.assert_array_equal(again.parameters, found.parameters)


@pytest.mark.long
def test_a_global_search_first(data, plain):
    """Whatever the scale ratio and the switches say; however many candidates are evaluated at once."""
    few = {"max_generations": 12, "max_restarts": 0, "restart_strategy": "none", "popsize": 8}
    found, in_parts = (
        fit_with_cmaes(data, settings(cmaes={**few, "population_batch_size": size})) for size in (None, 3)
    )
    assert found.device_info["global_search"] == "cmaes"
    assert found.chi_squared == pytest.approx(plain.chi_squared, rel=1e-6)
    assert in_parts.chi_squared == pytest.approx(found.chi_squared, rel=1e-9)


def test_equal_shapes_compile_once(data, plain):
    """Other numbers in maps of the same shape take the programs that are there."""
    import jax

    seen = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            seen.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    other = fit_nlsq_jax({**data, "c2_exp": 1.001 * data["c2_exp"]}, settings())
    n_again = len(seen)
    jax.jit(lambda x: x + len(seen))(1.0)  # the listener hears what is compiled
    assert len(seen) > n_again
    assert n_again == 0
    assert other.chi_squared != plain.chi_squared


def test_static_mode_has_three_parameters_of_physics(data):
    found = fit_nlsq_jax(data, {"analysis_mode": "static_anisotropic", "initial_parameters": {"values": STATIC}})
    assert len(found.free) == 3 + 6
    assert "layers" not in found.device_info


def test_a_robust_loss_reports_linear_chi_squared(data, plain):
    found = fit_nlsq_jax(data, settings(loss="soft_l1"))
    assert found.chi_squared >= plain.chi_squared * (1 - 1e-12)
    assert found.chi_squared < plain.chi_squared * 1.01
    assert found.device_info["cost"] < found.chi_squared


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"dt": None}, InvalidValue, "dt is missing"),
        ({"L": None}, InvalidValue, "L is missing"),
        ({"sigma": 0.0}, InvalidValue, "sigma has values of 0"),
        ({"c2": 1}, UsageError, "unknown key `c2`"),
        ({"phi": [1.0]}, UsageError, "says `phi` twice"),
        ({"wavevector_q_list": [0.005, 0.01]}, InvalidValue, "2 different q"),
    ],
)
def test_malformed_data_are_refused(data, changes, kind, message):
    """0.14: dt missing; σ = 0."""
    with pytest.raises(kind, match=message):
        fit_nlsq_jax({**data, **changes}, settings())


def test_the_forms_are_not_mixed(data):
    with pytest.raises(UsageError, match="`q` is given beside a dictionary"):
        fit_nlsq_jax(data, settings(), q=0.01)
    with pytest.raises(UsageError, match="no analysis_mode"):
        fit_nlsq_jax(data, {"loss": "linear"})
    with pytest.raises(UsageError, match="needs `t2`"):
        fit_nlsq_jax([1.0], settings(), t1=[0.0], q=0.01, L=2e6, phi=[0.0])
