"""What the figures of cosmology draw, read back from them."""

import numpy as np
import pandas
import pytest
from scipy import stats

from campaign.science import Evidence
from campaign_cosmology.data.tables import table
from campaign_cosmology.figures import (
    bao_residuals,
    bayes_factors,
    best_fits,
    bootstrap_scatter,
    hubble_residuals,
    parameters,
    posterior_contours,
    profile,
)

ROW = {
    "problem.model": "lcdm",
    "problem.zstar": None,
    "theta.H0": 67.4,
    "theta.Om0": 0.315,
    "theta.Obh2": 0.02237,
    "theta.k_sat": float("nan"),
}


def test_parameters_of_a_row():
    found = parameters({**ROW, "problem.zdrag": "EH98"})
    assert found["H0"] == 67.4
    assert "k_sat" not in found
    assert (found["model_class"], found["recomb_method"], found["drag_method"]) == ("lcdm", "PLANCK18", "EH98")


def test_bao_residuals_are_percent_of_the_first_fit():
    """At the defaults D_V/r_d(0.295) = 8.060568656831368, D_M/r_d(0.51) = 13.506600005181642 (30-digit quadrature)."""
    fits = {"one": parameters(ROW), "other": parameters({**ROW, "theta.H0": 70.0})}
    axes = bao_residuals(fits).axes
    assert [axis.get_xlabel() for axis in axes] == ["redshift"] * 3
    points = [axis.containers[0].lines[0].get_xydata() for axis in axes]
    assert points[0][0] == pytest.approx([0.295, 100 * (7.94167639 / 8.060568656831368 - 1)], rel=1e-9)
    assert points[1][0] == pytest.approx([0.51, 100 * (13.58758434 / 13.506600005181642 - 1)], rel=1e-8)
    assert [len(p) for p in points] == [1, 6, 6]
    reference, other = axes[1].lines[0].get_ydata(), axes[1].lines[1].get_ydata()
    np.testing.assert_array_equal(reference, 0.0)
    assert (other < 0).all()  # a larger H0: smaller distances


def test_hubble_residuals_have_their_offset_taken_out():
    measured = table("sn")
    axis = hubble_residuals({"one": parameters(ROW), "other": parameters({**ROW, "theta.H0": 70.0})}).axes[0]
    points = axis.containers[0].lines[0].get_ydata()
    inverse = np.linalg.inv(measured.covariance)
    assert inverse.sum(axis=0) @ points == pytest.approx(0.0, abs=1e-8 * inverse.sum())
    low, high = np.array([s[:, 1] for s in axis.containers[0].lines[2][0].get_segments()]).T
    projection = np.eye(len(measured)) - np.outer(np.ones(len(measured)), inverse.sum(axis=0)) / inverse.sum()
    expected = np.sqrt(np.diag(projection @ measured.covariance @ projection.T))
    np.testing.assert_allclose((high - low) / 2, expected, rtol=1e-6)
    # another H0 is another offset, and nothing else but radiation
    np.testing.assert_allclose(axis.lines[1].get_ydata(), 0.0, atol=1e-4)


def test_best_fits_marks_those_at_a_bound():
    inside = pandas.Series({"theta.H0": 68.6, "stderr.H0": 0.3, "bounds_reached": []})
    at_bound = pandas.Series({"theta.H0": 62.0, "stderr.H0": 0.2, "bounds_reached": ["k_sat:lower"]})
    figure = best_fits({"CMB": {"ΛCDM": inside, "PBUF": at_bound}})
    drawn = [c for c in figure.axes[0].containers if len(c.lines[0].get_xdata())]
    assert [c.lines[0].get_xdata()[0] for c in drawn] == [68.6, 62.0]
    assert [c.lines[0].get_markerfacecolor() for c in drawn] == ["#0072B2", "white"]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "CMB"


def test_profile_starts_at_its_least():
    x = np.linspace(0.1, 2.0, 11)
    axis = profile({"one": (x[::-1], 5 + x[::-1] ** 2)}, mark={"here": 1.0}).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_xydata(), np.stack([x, x**2 - 0.01], axis=1), atol=1e-12)


def test_contours_of_a_gaussian_reach_as_far_as_they_should():
    """68.3 and 95.4 % of a two-dimensional Gaussian lie within 1.52 and 2.48 σ."""
    samples = np.random.default_rng(0).standard_normal((2, 200_000))
    figure = posterior_contours({"one": {"H0": 68 + samples[0], "Om0": 0.3 + 0.01 * samples[1]}}, ("H0", "Om0"))
    axis = next(a for a in figure.axes if a.get_visible() and a.collections)
    lines = axis.collections[-1]
    reach = sorted(np.abs(path.vertices[:, 0] - 68).max() for path in lines.get_paths())
    assert reach == pytest.approx([np.sqrt(stats.chi2(2).ppf(m)) for m in (0.683, 0.954)], rel=0.05)


def test_contours_keep_the_edge_of_a_bound():
    """Half a Gaussian from k_sat = 0.1 on: its density is highest at the bound, and zero below."""
    k_sat = 0.1 + 0.3 * np.abs(np.random.default_rng(1).standard_normal(200_000))
    figure = posterior_contours({"one": {"k_sat": k_sat}}, ("k_sat",))
    x, density = figure.axes[0].lines[0].get_xydata().T
    assert x.min() == pytest.approx(0.1)
    assert density[1] == pytest.approx(2 / (0.3 * np.sqrt(2 * np.pi)), rel=0.05)


def test_bootstrap_counts_what_its_ellipses_hold():
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    points = np.linalg.cholesky(covariance) @ np.random.default_rng(2).standard_normal((2, 100_000))
    best = {"H0": 68 + points[0], "Om0": 0.3 + points[1]}
    figure = bootstrap_scatter(best, {"H0": 68.0, "Om0": 0.3}, covariance, ("H0", "Om0"))
    title = figure.axes[0].get_title()
    shares = [float(word) for word in title.replace("%", "").split() if word[0].isdigit()]
    assert shares == pytest.approx([68.3, 95.4], abs=0.5)


def test_contours_have_their_older_name():
    from campaign_cosmology import contours

    assert contours.posterior_contours is posterior_contours


def test_bayes_factors_are_differences_against_the_reference():
    def of(log_evidence, stderr=0.3):
        return Evidence(name="", method="nested", log_evidence=log_evidence, stderr=stderr)

    choices = {
        "all": {"LCDM": of(-20.0, 0.4), "wCDM": of(-18.5), "mnu": of(-21.0)},
        "less": {"LCDM": of(-10.0), "wCDM": of(None)},
    }
    axis = bayes_factors(choices, "LCDM").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["all", "less"]
    drawn = {one.get_label(): one for one in axis.containers}
    assert set(drawn) == {"wCDM", "mnu"}
    assert drawn["wCDM"].lines[0].get_xdata() == pytest.approx([1.5])
    assert drawn["mnu"].lines[0].get_xdata() == pytest.approx([-1.0])
    (segment,) = drawn["wCDM"].lines[2][0].get_segments()
    assert segment[1, 0] - segment[0, 0] == pytest.approx(2 * 0.5)
