"""The two-layer model against scipy.linalg.expm, tabulated step responses of 51 sets, and series computed elsewhere."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.linalg import expm

from campaign.science import start_jax
from campaign_climate.physics import two_layer
from campaign_climate.physics.constants import ZJ_PER_W_YR_M2
from campaign_climate.physics.layers import Layers, modes, phi1, phi2

start_jax()
DATA = Path(__file__).parent / "data" / "climate"
GOLDEN = json.loads((DATA / "twolayer.json").read_text())
SETS = {f"{kind}:{name}": one for kind in ("cmip5_geoffroy2013a", "cmip6_ar6ch7") for name, one in GOLDEN[kind].items()}
DEFAULT = {"lambda0": 1.0, "efficacy": 1.0, "eta": 0.7, "heat_capacity_surface": 8.0, "heat_capacity_deep": 100.0}
exact = jax.jit(two_layer.exact)
runge_kutta = jax.jit(two_layer.runge_kutta, static_argnums=2)
ecs, tcr = jax.jit(two_layer.ecs), jax.jit(two_layer.tcr)
tcr_nonlinear = jax.jit(two_layer.tcr_nonlinear, static_argnums=2)


def layers(values, a=0.0):
    return Layers(**{name: np.float64({"a": a, **values}[name]) for name in Layers._fields})


def by_expm(own, forcing):
    """Annual mean of Ts, and Ts and Td at the end of each year: states Ts, Td, ∫Ts and the forcing as a constant."""
    A = np.zeros((4, 4))
    coupling = own.efficacy * own.eta
    A[0] = np.array([-(own.lambda0 + coupling), coupling, 0.0, 1.0]) / own.heat_capacity_surface
    A[1] = np.array([own.eta, -own.eta, 0.0, 0.0]) / own.heat_capacity_deep
    A[2, 0] = 1.0
    step, state, out = expm(A), np.zeros(4), []
    for f in forcing:
        state = step @ np.array([state[0], state[1], 0.0, f])
        out.append((state[2], state[0], state[1]))
    return np.array(out).T


@pytest.mark.parametrize(
    "values",
    [
        DEFAULT,
        DEFAULT | {"efficacy": 1.28, "lambda0": 1.18},
        DEFAULT | {"heat_capacity_surface": 50.0, "heat_capacity_deep": 10.0},  # b* < 0
        DEFAULT | {"heat_capacity_surface": 1.0, "heat_capacity_deep": 500.0, "lambda0": 5.0},
        DEFAULT | {"lambda0": 0.1, "eta": 0.1, "efficacy": 3.0},
    ],
)
def test_the_exact_solution_is_the_matrix_exponential(values):
    forcing = np.random.default_rng(1).normal(1.0, 2.0, 275)
    own = layers(values)
    for found, wanted in zip(exact(own, forcing), by_expm(own, forcing), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_step_responses_and_time_scales_of_climate_models(name):
    golden = SETS[name]
    own, f4x = layers(golden["params"]), golden["params"]["F4x"]
    found = modes(own)
    np.testing.assert_allclose(1.0 / found.rate, [golden["tau_f"], golden["tau_s"]], rtol=1e-12)
    np.testing.assert_allclose(found.phi, [golden["phi_f"], golden["phi_s"]], rtol=1e-12)
    np.testing.assert_allclose(found.share, [golden["a_f"], golden["a_s"]], rtol=1e-12)
    response = exact(own, np.full(1000, f4x))
    at = np.array(GOLDEN["times"], int) - 1
    np.testing.assert_allclose(response.surface_end[at], golden["Ts"], rtol=1e-12)
    np.testing.assert_allclose(response.deep_end[at], golden["Td"], rtol=1e-12, atol=1e-12)
    assert ecs(own, 0.5 * f4x) == pytest.approx(golden["ecs"], rel=1e-12)
    assert tcr(own, 0.5 * f4x) == pytest.approx(golden["T70_linear_ramp_to_F2x"], rel=1e-12)


@pytest.mark.parametrize(("steps", "key"), [(1, "1"), (2, "2"), (10, "10"), (20, "20")])
def test_runge_kutta_errors_are_those_of_the_table(steps, key):
    forcing = np.full(1000, 4.0)
    error = np.abs(
        runge_kutta(layers(DEFAULT), forcing, steps).surface_end - exact(layers(DEFAULT), forcing).surface_end
    )
    assert error.max() == pytest.approx(GOLDEN["rk4_error_vs_exact_step"][f"substeps{key}"], rel=1e-3)


@pytest.mark.parametrize(
    ("label", "values", "a"),
    [("default", DEFAULT, 0.0), ("nonlin", None, None), ("g13b", None, 0.0)],
)
def test_historical_series(label, values, a):
    golden = np.genfromtxt(DATA / "twolayer_igcc_series.csv", delimiter=",", names=True)
    if label == "g13b":
        values = dict(zip(("lambda0", "_", "efficacy", "eta", "heat_capacity_surface", "heat_capacity_deep"),
                          GOLDEN["G13b_MMM_eps"]["theta"], strict=True))  # fmt: skip
    if label == "nonlin":
        values, a = NONLINEAR
    response = runge_kutta(layers(values, a), golden["erf"], 10)
    np.testing.assert_allclose(response.surface_end, golden[f"Ts_end_{label}"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(response.deep_end, golden[f"Td_end_{label}"], rtol=0, atol=1e-12)
    heat = two_layer.heat_content(layers(values, a), response, 1.0)
    np.testing.assert_allclose(heat, golden[f"H_ZJ_{label}"], rtol=1e-12, atol=1e-9)
    if a == 0.0:
        mean = exact(layers(values), golden["erf"]).surface
        np.testing.assert_allclose(mean, golden[f"Ts_mean_{label}"], rtol=0, atol=1e-12)


NONLINEAR = (
    {"lambda0": 1.1, "efficacy": 1.3, "eta": 0.7, "heat_capacity_surface": 8.0, "heat_capacity_deep": 100.0},
    0.05,
)


def test_heat_uptake_is_the_energy_balance():
    """N = F − (λ0 − a Ts)Ts − (ε − 1)η(Ts − Td), averaged over a year by many small steps."""
    own = layers(DEFAULT | {"efficacy": 1.4}, a=0.05)
    forcing = np.linspace(0.0, 5.0, 40)
    found = two_layer.heat_uptake(own, runge_kutta(own, forcing, 50))
    ts, td, n, mean = 0.0, 0.0, 4000, []
    for f in forcing:
        total = 0.0
        for _ in range(n):
            N = f - (own.lambda0 - own.a * ts) * ts - (own.efficacy - 1) * own.eta * (ts - td)
            exchange = own.eta * (ts - td)
            ts_new = (
                ts + (f - (own.lambda0 - own.a * ts) * ts - own.efficacy * exchange) / own.heat_capacity_surface / n
            )
            td += exchange / own.heat_capacity_deep / n
            ts = ts_new
            total += N / n
        mean.append(total)
    np.testing.assert_allclose(found, mean, atol=2e-4)


def test_one_watt_a_year_is_sixteen_zettajoules():
    assert pytest.approx(GOLDEN["ZJ_per_Wyr_m2"], rel=1e-12) == ZJ_PER_W_YR_M2


def test_a_runaway_is_not_a_number_from_then_on():
    own = layers(DEFAULT, a=0.5)
    response = runge_kutta(own, np.full(300, 10.0), 2)
    lost = np.isnan(response.surface)
    assert not lost[:3].any()
    assert lost[-1]
    assert (np.diff(lost.astype(int)) >= 0).all()
    assert np.isnan(ecs(own, 10.0))
    assert ecs(layers(DEFAULT | {"lambda0": 1.2}, a=0.05), 3.93) == pytest.approx(3.9128, abs=1e-3)


def test_equilibrium_of_a_nonlinear_feedback_is_reached():
    own = layers(DEFAULT | {"lambda0": 1.4}, a=0.05)
    end = runge_kutta(own, np.full(6000, 3.93), 2).surface_end[-1]
    assert end == pytest.approx(float(ecs(own, 3.93)), rel=1e-9)


def test_tcr_by_steps_is_the_closed_form_for_a_linear_feedback():
    assert tcr_nonlinear(layers(DEFAULT), 3.93, 20) == pytest.approx(float(tcr(layers(DEFAULT), 3.93)), rel=1e-10)


def test_functions_of_small_rates():
    """φ1 and φ2 with 50 digits: mpmath's (1 − e^−r)/r and (r − 1 + e^−r)/r²."""
    from fractions import Fraction

    for r in (1e-12, 1e-5, 1e-3, 0.0499, 0.4999, 0.5001, 1.0):
        x = Fraction(r)
        terms = [Fraction(1)]
        for k in range(1, 40):
            terms.append(terms[-1] * -x / k)
        one = float(sum(-t / x for t in terms[1:]))
        two = float(sum(t / x**2 for t in terms[2:]))
        assert float(phi1(np.asarray(r))) == pytest.approx(one, rel=1e-14)
        assert float(phi2(np.asarray(r))) == pytest.approx(two, rel=4e-14)
    assert float(phi1(np.asarray(0.0))) == 1.0
    assert float(phi2(np.asarray(0.0))) == 0.5
