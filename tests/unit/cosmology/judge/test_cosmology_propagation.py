"""Errors of what follows from the parameters: closed forms, a full least-squares fit, published numbers."""

import numpy as np
import pytest

from campaign.science import Parameter
from campaign_cosmology import CosmologyWarning, load_dataset, mu, run_fit
from campaign_cosmology.judge.propagation import propagated


def box(*names):
    return tuple(Parameter(name=name, initial=0.0, lower=-10.0, upper=10.0) for name in names)


def test_a_linear_function_has_the_error_of_its_covariance():
    rng = np.random.default_rng(1)
    jacobian, g = rng.normal(size=(7, 3)), np.array([1.0, -2.0, 0.5])
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    assert propagated(box("a", "b", "c"), np.zeros(3), jacobian, g) == pytest.approx(np.sqrt(g @ covariance @ g))


def test_a_direction_that_is_free_counts_only_where_the_function_moves_along_it():
    """The data see a + b alone: so a + b has their error, a and a − b have none."""
    jacobian = np.array([[2.0, 2.0], [2.0, 2.0]])
    parameters, x = box("a", "b"), np.zeros(2)
    assert propagated(parameters, x, jacobian, np.array([1.0, 1.0])) == pytest.approx(1.0 / np.sqrt(8.0))
    assert propagated(parameters, x, jacobian, np.array([1.0, 0.0])) is None
    assert propagated(parameters, x, jacobian, np.array([1.0, -1.0])) is None
    assert propagated(parameters, x, jacobian, np.array([np.nan, 1.0])) is None


def test_a_parameter_at_a_bound_is_held_unless_nothing_has_brought_it_there():
    jacobian, at_bound = np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([0.0, 10.0])
    assert propagated(box("a", "b"), at_bound, jacobian, np.array([1.0, 1.0])) == pytest.approx(0.5)
    dead = np.array([[2.0, 0.0], [0.0, 0.0]])
    assert propagated(box("a", "b"), at_bound, dead, np.array([1.0, 1.0])) is None
    assert propagated(box("a", "b"), at_bound, dead, np.array([1.0, 0.0])) == pytest.approx(0.5)


def test_bao_alone_know_h_rd_and_nothing_else_of_it():
    """DESI DR2: h r_d = 101.54 ± 0.73 Mpc (arXiv:2503.14738), with H0 and Ω_b h² free and unconstrained."""
    with pytest.warns(CosmologyWarning, match="not constrained by the data: H0, Obh2"):
        result = run_fit("lcdm", ["bao_ani"], optimization_params=["H0", "Om0", "Obh2"])
    derived = result["derived"]
    assert derived["h_rd"]["value"] == pytest.approx(101.54, abs=0.01)
    assert derived["h_rd"]["stderr"] == pytest.approx(0.73, abs=0.01)
    assert derived["r_d"]["stderr"] is None
    assert derived["h_rd"]["unit"] == "Mpc"
    free = run_fit("lcdm", ["bao_ani"], overrides={"drag_method": "FREE"}, optimization_params=["Om0", "r_d"])
    assert free["derived"]["h_rd"]["value"] == pytest.approx(derived["h_rd"]["value"], rel=1e-3)  # less radiation there
    assert free["derived"]["r_d"]["stderr"] == pytest.approx(free["optimization"]["stderr"]["r_d"], rel=1e-6)
    assert free["derived"]["r_d"]["value"] == free["params"]["r_d"]


@pytest.fixture(scope="module")
def supernovae():
    return run_fit("lcdm", ["sn"], optimization_params=["Om0"], covariance_scaling=2.0)


def test_the_offset_has_the_error_of_a_fit_of_both(supernovae):
    """Least squares of (Ω_m, M) with M written out: its covariance, from numerical derivatives of μ(z)."""
    data = load_dataset("sn")
    params, z = supernovae["params"], np.array(data["metadata"]["z"])

    def model(Om0):
        return mu(z, {**params, "Om0": Om0})

    m = np.array(list(data["observations"].values()))
    slope = (model(params["Om0"] + 1e-4) - model(params["Om0"] - 1e-4)) / 2e-4
    design = np.stack([slope, np.ones(len(z))], axis=1)
    inverse = np.linalg.inv(2.0 * data["covariance"])
    covariance = np.linalg.inv(design.T @ inverse @ design)
    shift = covariance @ design.T @ inverse @ (m - model(params["Om0"]))  # no further step of Ω_m; M itself
    found = supernovae["derived"]["M_sn"]
    assert found["value"] == pytest.approx(shift[1], abs=1e-6)
    assert found["stderr"] == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-5)
    assert found["unit"] == "mag"
    assert supernovae["optimization"]["stderr"]["Om0"] == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-4)


def test_m_has_no_error_where_h0_is_as_free():
    with pytest.warns(CosmologyWarning, match="not constrained by the data: H0"):
        result = run_fit("lcdm", ["sn"], optimization_params=["H0", "Om0"])
    assert result["derived"]["M_sn"]["stderr"] is None
    known = run_fit("lcdm", ["sn", "prior:sh0es"], optimization_params=["H0", "Om0"])["derived"]["M_sn"]
    assert known["stderr"] == pytest.approx(np.hypot(0.0887, 5.0 / np.log(10.0) * 1.04 / 73.04), rel=2e-3)


def test_what_is_not_fitted_has_values_and_no_errors():
    derived = run_fit("lcdm", ["bao", "sn"])["derived"]
    assert derived["h_rd"]["value"] == pytest.approx(0.674 * 146.95234766439378, rel=1e-10)
    assert set(derived) == {"r_d", "h_rd", "M_sn"}
    assert all(entry["stderr"] is None for entry in derived.values())
