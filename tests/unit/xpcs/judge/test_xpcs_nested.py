"""The F-test of nested models: uniform p-values where the smaller is true, tiny ones where it is not."""

import numpy as np
import pytest

from campaign.science import InvalidValue
from campaign_xpcs.judge.nested import nested_test


def p_values(extra, n=60, draws=400, scale=7.0):
    rng = np.random.default_rng(2)
    A = rng.normal(size=(n, 6))
    found = []
    for _ in range(draws):
        y = A[:, :3] @ [1.0, 2.0, 3.0] + extra * A[:, 4] + scale * rng.normal(size=n)
        chi2 = [np.sum((y - B @ np.linalg.lstsq(B, y)[0]) ** 2) for B in (A[:, :3], A)]
        found.append(nested_test(chi2[0], 3, chi2[1], 6, n).p_value)
    return np.array(found)


def test_a_true_model_has_uniform_p_values_whatever_the_errors():
    from scipy.stats import kstest

    assert kstest(p_values(0.0), "uniform").pvalue > 0.01


def test_a_wrong_model_is_rejected():
    assert np.median(p_values(10.0)) < 1e-6


def test_numbers():
    found = nested_test(120.0, 2, 100.0, 4, 104)
    assert (found.f, found.dof, found.extra_parameters) == (10.0, 100, 2)
    assert found.p_value == pytest.approx(1.2e-4, rel=0.1)  # (1 + 2·10/100)^(−50) = 1.1e-4
    assert found.p_value == pytest.approx((1 + 2 * 10 / 100) ** -50, rel=1e-12)
    assert found.is_rejected
    with pytest.raises(InvalidValue):
        nested_test(1.0, 3, 1.0, 3, 10)
