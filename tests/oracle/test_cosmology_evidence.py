"""Evidences of cosmological posteriors by nested sampling, against Gauss–Legendre quadrature.

Four seeds here; benchmarks/evidence.py has twenty, and says whether the stated errors are honest.
"""

import numpy as np
import pytest

from cosmology_posteriors import evidences, quadrature


@pytest.mark.parametrize("d", [2, pytest.param(3, marks=pytest.mark.long)])
def test_nested_sampling_against_quadrature(d, tmp_path):
    exact = quadrature(d, 80)
    assert exact == pytest.approx(quadrature(d, 96), abs=1e-6)
    found, stated = evidences(tmp_path, d, n_seeds=4, n_live=1000)
    assert (np.abs(found - exact) < 4.0 * stated).all()
    assert abs(found.mean() - exact) < 4.0 * np.sqrt(np.mean(stated**2) / 4)
    assert stated.max() < 0.1
