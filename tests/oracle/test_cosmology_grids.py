"""Likelihoods published as grids: r·r is −2 ln L at the nodes and between them; peaks as the paper has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline

from campaign.science import DataFileError, find_data
from campaign_cosmology.data.grid import read_grid, shape_of
from campaign_cosmology.data.grid_releases import RELEASES
from campaign_cosmology.data.tables import resolve, table
from campaign_cosmology.model.blocks import interpolated, make_block, whitened
from campaign_cosmology.model.options import CosmologyOptions
from campaign_cosmology.model.problem import build


def released(name):
    try:
        return find_data(RELEASES[name].file)
    except DataFileError:
        pytest.skip(f"{RELEASES[name].file} is not on this machine: it belongs into CAMPAIGN_DATA")


def chi2_of(name):
    block = make_block(table(name), np.array([RELEASES[name].z]))
    one = jnp.ones(())

    def chi2(x):
        w, _ = whitened(block, x, one, jnp.zeros(len(x)))
        return w @ w

    return jax.jit(jax.vmap(chi2))


@pytest.mark.parametrize("name", RELEASES)
def test_the_squares_of_residuals_are_the_likelihood(name):
    axes, expected = read_grid(released(name), len(RELEASES[name].quantity))
    nodes = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)
    found = np.asarray(chi2_of(name)(jnp.asarray(nodes))).reshape(expected.shape)
    low = expected - expected.min()
    near = low < 25.0
    # the peak lies between nodes: what it is above them is one constant
    np.testing.assert_allclose((found - found.min())[near], low[near], atol=0.02, rtol=0.01)
    if len(axes) == 2:
        surface = RectBivariateSpline(*axes, expected, s=0)
        rng = np.random.default_rng(1)
        places = nodes[rng.choice(np.flatnonzero(near.ravel()), 200)] + rng.uniform(-0.5, 0.5, (200, 2)) * np.array(
            [a[1] - a[0] for a in axes]
        )
        inside = np.all([(places[:, k] >= a[0]) & (places[:, k] <= a[-1]) for k, a in enumerate(axes)], axis=0)
        places = places[inside]
        between = surface(places[:, 0], places[:, 1], grid=False) - surface(*table(name).value)[0, 0]
        np.testing.assert_allclose(chi2_of(name)(jnp.asarray(places)), between, atol=0.03, rtol=0.01)


def test_peaks_are_those_of_the_paper():
    """Alam et al. 2021, table 3: ELG D_V/r_d = 18.33 +0.57 −0.62; Lyman-α auto 37.6, 8.93; times quasars 37.3, 9.08."""
    for name, values in (("elg", [18.33]), ("lya", [37.6, 8.93]), ("lya-qso", [37.3, 9.08])):
        released(f"bao_grid:eboss-{name}")
        np.testing.assert_allclose(table(f"bao_grid:eboss-{name}").value, values, rtol=0.01)


def test_a_fit_of_all_of_eboss():
    released("bao_grid:eboss-lya")
    problem = build(CosmologyOptions(data=["cmb", "bao_ani:eboss-dr16", *RELEASES]))
    theta = jnp.asarray(problem.space.initial)
    r = problem.residuals(theta)
    assert r.shape == (3 + 8 + 1 + 2 + 2,)
    gradient = jax.grad(lambda t: problem.log_likelihood(t))(theta)
    h = 1e-4
    H0 = problem.space.index("H0")
    values = [float(problem.log_likelihood(theta.at[H0].add(k * h))) for k in (1, -1)]
    assert float(gradient[H0]) == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5)
    assert {"chi2_bao_grid_eboss_elg", "chi2_bao_grid_eboss_lya"} <= problem.derived(theta).keys()


def test_grids_go_with_their_own_survey_only():
    assert len(resolve(["bao_ani:eboss-dr16", "bao_grid:eboss-elg", "bao_grid:eboss-lya"])) == 3
    with pytest.raises(ValueError, match="overlap"):
        resolve(["bao_ani:desi-dr2", "bao_grid:eboss-lya"])


def test_a_gaussian_grid_is_the_gaussian(tmp_path):
    x, y = np.linspace(-3, 4, 29), np.linspace(5, 9, 33)
    precision = np.array([[1.3, 0.4], [0.4, 2.0]])
    off = np.stack(np.meshgrid(x - 0.3, y - 7.2, indexing="ij"), axis=-1)
    chi2 = np.einsum("abi,ij,abj->ab", off, precision, off)
    peak, covariance, grid = shape_of([x, y], chi2)
    np.testing.assert_allclose(peak, [0.3, 7.2], atol=1e-6)
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-6)
    assert float(interpolated(grid, jnp.asarray([1.234, 6.1]))) == pytest.approx(1.0, abs=1e-6)
    assert float(interpolated(grid, jnp.asarray([40.0, 6.1]))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 2\nx y\n", "no table"), ("1 0.5 3\n", "rows of 3"), ("1 0.5\n2 0\n3 1\n4 1\n5 1\n", "not above 0")],
)
def test_bad_grids_say_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "grid.txt"
    path.write_text(text)
    with pytest.raises(DataFileError) as error:
        read_grid(path, 1)
    assert said in error.value.message


def test_functions_give_what_the_problem_gives():
    released("bao_grid:eboss-lya")
    from campaign_cosmology import run_fit

    fit = run_fit("lcdm", ["cmb", "bao_grid:eboss-lya"])
    problem = build(CosmologyOptions(data=["cmb", "bao_grid:eboss-lya"]))
    expected = problem.derived(jnp.asarray(problem.space.initial))["chi2_bao_grid"]
    assert fit["results"]["bao_grid:eboss-lya"]["chi2"] == pytest.approx(float(expected), rel=1e-10)
