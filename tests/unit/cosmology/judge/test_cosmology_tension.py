"""Tension and re-weighting, against closed forms of Gaussians."""

import numpy as np
import pytest
from scipy import stats

from campaign_cosmology.judge.tension import parameter_difference, suspiciousness, worse_together


def result(values, covariance, chi2, digest, k=None):
    names = [f"p{i}" for i in range(len(values))]
    return {
        "metrics": {"total_chi2": chi2},
        "provenance": {"data_sha256": {d: d for d in digest}},
        "optimization": {
            "optimized_params": dict(zip(names, values, strict=True)),
            "metadata": {
                "covariance": {"parameters": names, "matrix": np.asarray(covariance).tolist()},
                "n_effective_parameters": len(values) if k is None else k,
            },
        },
    }


def test_one_number_against_another():
    found = parameter_difference(result([73.04], [[1.04**2]], 0.0, ["a"]), result([67.4], [[0.5**2]], 0.0, ["b"]))
    assert found.sigmas == pytest.approx((73.04 - 67.4) / np.hypot(1.04, 0.5), rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.chi2, 1), rel=1e-12)


def test_gaussian_data_are_as_far_apart_by_either_answer():
    """For linear models the rise of chi2 is the squared difference of the estimates."""
    rng = np.random.default_rng(5)
    A = [rng.normal(size=(6, 2)) for _ in range(2)]
    y = [a @ [1.0, -2.0] + rng.normal(size=6) for a in A]

    def fit(a, b):
        covariance = np.linalg.inv(a.T @ a)
        best = covariance @ a.T @ b
        return best, covariance, float(np.sum((a @ best - b) ** 2))

    one, other = (result(*fit(a, b), [d]) for a, b, d in zip(A, y, "ab", strict=True))
    joint = result(*fit(np.vstack(A), np.concatenate(y)), ["a", "b"])
    difference, together = parameter_difference(one, other), worse_together(one, other, joint)
    assert together.chi2 == pytest.approx(difference.chi2, rel=1e-9)
    assert together.dof == difference.dof == 2
    # evidences of a wide flat prior V: ln Z = −χ²/2 + ln det(2πC)/2 − ln V, D = ln V − ln det(2πC)/2 − d/2
    log_v = 20.0
    half = [
        0.5 * np.linalg.slogdet(2 * np.pi * np.array(r["optimization"]["metadata"]["covariance"]["matrix"]))[1]
        for r in (one, other, joint)
    ]
    log_z = tuple(-0.5 * r["metrics"]["total_chi2"] + h - log_v for r, h in zip((one, other, joint), half, strict=True))
    information = tuple(log_v - h - 1.0 for h in half)
    assert suspiciousness(log_z, information, 2).chi2 == pytest.approx(difference.chi2, rel=1e-9)


def test_data_in_common_are_refused():
    one = result([1.0], [[1.0]], 0.0, ["a"])
    with pytest.raises(ValueError, match="share a data set"):
        parameter_difference(one, one)
    with pytest.raises(ValueError, match="not of the data of the two"):
        worse_together(one, result([1.0], [[1.0]], 0.0, ["b"]), one)
