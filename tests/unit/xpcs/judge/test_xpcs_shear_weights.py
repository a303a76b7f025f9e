"""Layer 5: the formula, and errors of a weighted estimate."""

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.judge.shear_weights import sandwich, shear_weights


def test_the_formula_of_the_document():
    phi = np.array([0.0, 60.0, 90.0, 180.0])
    np.testing.assert_allclose(shear_weights(phi, 0.0, normalize=False), [1.0, 0.65, 0.3, 1.0], rtol=1e-12)
    np.testing.assert_allclose(shear_weights(phi, 0.0, alpha=2.0, normalize=False)[1], 0.3 + 0.7 * 0.25)
    assert shear_weights(phi, 17.0).mean() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(shear_weights(phi, 17.0), shear_weights(phi + 180.0, 17.0), rtol=1e-12)


@pytest.mark.parametrize("wrong", [{"min_weight": 0.0}, {"min_weight": 1.1}, {"alpha": 0.0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(InvalidValue):
        shear_weights(np.zeros(2), 0.0, **wrong)


def test_the_sandwich_is_the_spread_of_weighted_estimates_and_never_smaller():
    rng = np.random.default_rng(3)
    A = rng.normal(size=(5, 8, 2)) * np.array([100.0, 0.1])
    w = shear_weights(np.linspace(0, 90, 5), 0.0, min_weight=0.1)
    H = np.einsum("kni,knj->kij", A, A)
    root = np.sqrt(w)[:, None]
    B = (A * root[..., None]).reshape(-1, 2)
    drawn = np.array([np.linalg.lstsq(B, (rng.normal(size=(5, 8)) * root).reshape(-1))[0] for _ in range(4000)])
    covariance = sandwich(H, w)
    np.testing.assert_allclose(np.std(drawn, axis=0), np.sqrt(np.diag(covariance)), rtol=0.05)
    assert (np.diag(covariance) >= np.diag(np.linalg.inv(H.sum(axis=0)))).all()
    np.testing.assert_allclose(sandwich(H, np.ones(5)), np.linalg.inv(H.sum(axis=0)), rtol=1e-10)
