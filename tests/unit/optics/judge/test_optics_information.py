"""The Fisher information, its inverses and its conditioning, of a matrix that can be done by hand."""

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign_optics import Information, conditioning, mass_matrix

TWO = Information(
    names=("a", "b"),
    at=np.zeros(2),
    fisher=np.array([[4.0, 1.0], [1.0, 1.0]]),
    prior=np.array([0.0, 2.0]),
    typical=np.array([1.0, 2.0]),
)


def test_errors_and_mass_matrices():
    assert list(TWO.stderr().values()) == pytest.approx([np.sqrt(1.0 / 3.0), np.sqrt(4.0 / 3.0)], rel=1e-14)
    assert mass_matrix(TWO) == pytest.approx(np.array([[3.0, -1.0], [-1.0, 4.0]]) / 11.0, rel=1e-14)
    assert mass_matrix(TWO, "diagonal", with_prior=False) == pytest.approx([1.0 / 3.0, 4.0 / 3.0], rel=1e-14)


def test_condition_numbers():
    found = conditioning(TWO)
    root = np.sqrt(13.0)
    assert found["raw"] == pytest.approx((5.0 + root) / (5.0 - root), rel=1e-12)
    assert found["diagonal"] == pytest.approx(3.0, rel=1e-12)  # eigenvalues 1 ± 1/2
    assert found["spread"] == 4.0
    assert found["prior_scaled"] == pytest.approx((4.0 + 2.0) / (4.0 - 2.0), rel=1e-12)  # [[4, 2], [2, 4]]
    rho = 1.0 / np.sqrt(12.0)
    assert found["diagonal_with_priors"] == pytest.approx((1.0 + rho) / (1.0 - rho), rel=1e-12)


@pytest.mark.parametrize(
    ("fisher", "what"), [([[1.0, 1.0], [1.0, 1.0]], "combination"), ([[1.0, 0.0], [0.0, 0.0]], "`b`")]
)
def test_what_the_image_does_not_tell_is_named(fisher, what):
    own = Information(names=("a", "b"), at=np.zeros(2), fisher=np.array(fisher), prior=np.zeros(2), typical=np.ones(2))
    with pytest.raises(InvalidValue, match=what):
        own.covariance()
