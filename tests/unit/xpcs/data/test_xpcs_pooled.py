"""A list of points is the maps that it was made from."""

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.data.pooled import pooled_maps

N, DT = 7, 0.1
PHI = np.array([-20.0, 0.0, 55.0])


def grid(seed=0):
    rng = np.random.default_rng(seed)
    c2 = 1.0 + 0.3 * rng.random((3, N, N))
    c2 = 0.5 * (c2 + np.swapaxes(c2, 1, 2))
    t = DT * np.arange(N)
    k, i, j = np.meshgrid(np.arange(3), np.arange(N), np.arange(N), indexing="ij")
    return c2, t, {"t1": t[i].ravel(), "t2": t[j].ravel(), "phi": PHI[k].ravel()}


def test_a_whole_grid_comes_back():
    c2, t, lists = grid()
    found = pooled_maps(c2.ravel(), **lists, q=0.01, gap=2e6)
    off = ~np.eye(N, dtype=bool)
    np.testing.assert_allclose(found.c2[:, off], c2[:, off], rtol=1e-15)
    np.testing.assert_allclose(found.times_s, t, rtol=1e-12)
    assert found.n_points == 3 * N * (N - 1) // 2
    assert found.sigma_is_default
    assert found.dt_s == pytest.approx(DT, rel=1e-12)
    np.testing.assert_array_equal(found.phi_deg, PHI)
    assert any("t1 = t2" in note for note in found.notes)


def test_any_part_in_any_order():
    c2, _t, lists = grid()
    rng = np.random.default_rng(1)
    some = rng.permutation(3 * N * N)[:60]
    sigma = 0.01 + 0.01 * rng.random(60)
    found = pooled_maps(
        c2.ravel()[some], **{k: v[some] for k, v in lists.items()}, q=0.01, gap=2e6, dt_s=DT, sigma=sigma
    )
    k, i, j = np.unravel_index(some, c2.shape)
    off = i != j
    pairs = {(a, min(b, c), max(b, c)) for a, b, c in zip(k[off], i[off], j[off], strict=True)}
    assert found.n_points == len(pairs)
    for a, b, c in pairs:
        assert found.mask[a, b, c]
        assert found.c2[a, b, c] == pytest.approx(c2[a, b, c], rel=1e-14)
    assert not found.sigma_is_default


def test_chi_squared_of_a_list_is_the_one_of_its_maps():
    """Half of the map is each point once: Σ (c2 − m)²/σ² is the same sum."""
    c2, _t, lists = grid()
    rng = np.random.default_rng(2)
    sigma = 0.01 * (1 + rng.random(c2.shape))
    sigma = 0.5 * (sigma + np.swapaxes(sigma, 1, 2))
    i, j = np.triu_indices(N, 1)
    pick = np.ravel_multi_index((np.repeat(np.arange(3), len(i)), np.tile(i, 3), np.tile(j, 3)), c2.shape)
    found = pooled_maps(
        c2.ravel()[pick], **{k: v[pick] for k, v in lists.items()}, q=0.01, gap=None, sigma=sigma.ravel()[pick]
    )
    upper = np.triu(np.ones((N, N), bool), 1)
    chi2 = np.sum(((found.c2 - 1.1) / found.sigma)[:, upper] ** 2)
    assert chi2 == pytest.approx(np.sum(((c2 - 1.1) / sigma)[:, upper] ** 2), rel=1e-12)


def test_a_point_that_is_there_twice_has_the_error_of_one():
    t = np.array([0.0, 0.1, 0.2, 0.0])
    u = np.array([0.1, 0.0, 0.0, 0.2])
    found = pooled_maps([1.0, 2.0, 5.0, 5.0], t1=t, t2=u, phi=np.zeros(4), q=0.01, gap=None, sigma=0.1)
    assert found.c2[0, 0, 1] == 1.5
    assert found.sigma[0, 0, 1] == pytest.approx(0.1)
    assert any("2 pairs of frames are there more than once" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t1": [0.0, 0.1]}, "`t1` has 2 values and `data` 3"),
        ({"sigma": 0.0}, "sigma has values of 0"),
        ({"t2": [0.1, 0.2, 0.37]}, "no multiples of dt"),
        ({"t2": [0.1, 0.2, 90000.0], "dt_s": 0.1}, "has 900001 frames"),
        ({"dt_s": -0.1}, "dt is -0.1"),
    ],
)
def test_malformed_lists_are_refused(changes, message):
    given = {"t1": [0.0, 0.0, 0.1], "t2": [0.1, 0.2, 0.3], "phi": [0.0, 0.0, 0.0], "q": 0.01, "gap": None, **changes}
    with pytest.raises(InvalidValue, match=message):
        pooled_maps([1.0, 1.1, 1.2], **given)
