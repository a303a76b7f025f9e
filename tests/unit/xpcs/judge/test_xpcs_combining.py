"""Estimates combined by inverse covariance: exact for linear models."""

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.judge.combining import combine


def members(seed=0, m=4, d=3):
    rng = np.random.default_rng(seed)
    designs = rng.normal(size=(m, 20, d)) * np.array([1e3, 1.0, 1e-3])
    y = designs @ np.array([1e-3, 2.0, 3e3]) + rng.normal(size=(m, 20))
    means = np.stack([np.linalg.lstsq(A, b)[0] for A, b in zip(designs, y, strict=True)])
    return designs, y, means, np.einsum("kni,knj->kij", designs, designs)


def test_a_linear_model_gives_the_fit_of_all_data():
    designs, y, means, precisions = members()
    A, b = designs.reshape(-1, 3), y.reshape(-1)
    found = combine(means, precisions)
    np.testing.assert_allclose(found.mean, np.linalg.lstsq(A, b)[0], rtol=1e-10)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(A.T @ A), rtol=1e-8)
    apart = sum(np.sum((b - A @ m) ** 2) for A, b, m in zip(designs, y, means, strict=True))
    together = np.sum((b - A @ found.mean) ** 2)
    assert found.spread == pytest.approx(together - apart, rel=1e-8)
    assert found.spread_dof == 9


def test_members_that_agree_have_a_spread_of_their_degrees_of_freedom():
    found = [combine(means, precisions) for _, _, means, precisions in map(members, range(200))]
    assert np.mean([f.spread for f in found]) == pytest.approx(9, abs=4 * np.sqrt(18 / 200))
    assert 0.3 < np.mean([f.p_value for f in found]) < 0.7


def test_a_member_may_leave_a_direction_free():
    """An angle across the flow says nothing about shear: a precision with zeros there."""
    first, second = np.diag([4.0, 0.0]), np.array([[1.0, 0.5], [0.5, 2.0]])
    found = combine(np.array([[1.0, 99.0], [2.0, 3.0]]), np.stack([first, second]))
    total = first + second
    expected = np.linalg.solve(total, first @ [1.0, 99.0] + second @ [2.0, 3.0])
    np.testing.assert_allclose(found.mean, expected, rtol=1e-12)
    assert found.spread_dof == 1


@pytest.mark.parametrize(
    ("precisions", "message"),
    [
        (np.stack([np.diag([1.0, 0.0])] * 2), r"about parameters \[1\]"),
        (np.stack([np.ones((2, 2))] * 2), "leave a direction free"),
        (np.ones((2, 3, 3)), "means"),
    ],
)
def test_free_directions_are_refused(precisions, message):
    with pytest.raises(InvalidValue, match=message):
        combine(np.zeros((2, 2)), precisions)
