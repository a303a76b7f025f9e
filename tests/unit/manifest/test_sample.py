import numpy as np
import pytest
from scipy import stats

from campaign.manifest.sample import default_seed, sample_columns
from campaign.space.designs import EXTENSIBLE, draw, unit_design
from campaign.space.priors import Prior


def columns(n, design="sobol", **keys):
    space = {"start.a": {"uniform": [2, 4]}, "start.b": {"normal": [0, 1]}, "tag.c": ["x", "y", "z"]}
    found = []
    result = sample_columns({"design": design, "n": n, "space": space, **keys}, "/", 7, found)
    assert found == []
    return result


@pytest.mark.parametrize("design", EXTENSIBLE)
@pytest.mark.parametrize("scramble", [True, False])
def test_raising_n_keeps_earlier_points_to_the_bit(design, scramble):
    few, many = columns(37, design, scramble=scramble), columns(301, design, scramble=scramble)
    for path in few:
        assert few[path].data.tobytes() == many[path].data[:37].tobytes()


def test_lhs_puts_one_point_in_every_stratum():
    values = columns(50, "lhs")["start.a"].data
    assert sorted(np.floor((values - 2) / 2 * 50).astype(int)) == list(range(50))


def test_unscrambled_sobol_is_the_published_sequence():
    expected = [[0, 0], [0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]  # Joe & Kuo 2008, first two dimensions
    np.testing.assert_array_equal(unit_design("sobol", 4, 2, 0, scramble=False), expected)


def test_unscrambled_halton_is_van_der_corput_in_2_and_3():
    expected = [[0, 0], [1 / 2, 1 / 3], [1 / 4, 2 / 3], [3 / 4, 1 / 9]]
    np.testing.assert_allclose(unit_design("halton", 4, 2, 0, scramble=False), expected, atol=1e-15)


def test_marginals_follow_the_prior():
    found = columns(4096)
    assert stats.kstest(found["start.b"].data, "norm").statistic < 0.01
    assert found["start.a"].data.mean() == pytest.approx(3, abs=1e-3)
    assert np.bincount(found["tag.c"].data).tolist() == pytest.approx([1365.3] * 3, abs=3)


def test_the_corner_of_the_cube_is_finite_under_an_infinite_prior():
    values = draw(np.array([0.0, 0.5, 1.0]), Prior("normal", (0.0, 1.0)))
    assert values[1] == 0
    assert values[2] == -values[0] == pytest.approx(stats.norm.ppf(1 - 2**-31))


def test_seeds_are_independent_between_axes_and_free_of_key_order():
    assert default_seed(7, {"start.a": 0, "start.b": 0}) == default_seed(7, {"start.b": 0, "start.a": 0})
    assert len({default_seed(7, {"start.a": 0}), default_seed(7, {"start.b": 0}), default_seed(8, {"start.a": 0})}) == 3


def test_a_seed_of_its_own_is_used():
    assert not np.array_equal(columns(8, seed=1)["start.a"].data, columns(8, seed=2)["start.a"].data)
    assert np.array_equal(columns(8, seed=1)["start.a"].data, columns(8, seed=1)["start.a"].data)
