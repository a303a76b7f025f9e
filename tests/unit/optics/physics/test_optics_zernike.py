"""Zernike polynomials: against their closed forms, their integrals over the disc, and Noll's table."""

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign_optics.physics import zernike

NOLL = {  # Noll 1976, table I
    1: (0, 0), 2: (1, 1), 3: (1, -1), 4: (2, 0), 5: (2, -2), 6: (2, 2), 7: (3, -1), 8: (3, 1), 9: (3, -3),
    10: (3, 3), 11: (4, 0), 12: (4, 2), 13: (4, -2), 14: (4, 4), 15: (4, -4), 16: (5, 1), 22: (6, 0),
}  # fmt: skip
CLOSED = {
    4: lambda r, a: np.sqrt(3) * (2 * r**2 - 1),
    5: lambda r, a: np.sqrt(6) * r**2 * np.sin(2 * a),
    8: lambda r, a: np.sqrt(8) * (3 * r**3 - 2 * r) * np.cos(a),
    11: lambda r, a: np.sqrt(5) * (6 * r**4 - 6 * r**2 + 1),
    15: lambda r, a: np.sqrt(10) * r**4 * np.sin(4 * a),
    22: lambda r, a: np.sqrt(7) * (20 * r**6 - 30 * r**4 + 12 * r**2 - 1),
}


def values(j, r, a):
    """Z_j by its polynomial."""
    table = zernike.polynomials((j,))[0]
    power = np.arange(len(table))
    return np.einsum("ba,b...,a...->...", table, (r * np.sin(a)) ** power[:, None], (r * np.cos(a)) ** power[:, None])


@pytest.mark.parametrize("j", NOLL)
def test_orders(j):
    assert zernike.noll(j) == NOLL[j]


@pytest.mark.parametrize("j", CLOSED)
def test_closed_forms(j):
    rng = np.random.default_rng(j)
    r, a = rng.random(50), rng.uniform(0.0, 2.0 * np.pi, 50)
    assert values(j, r, a) == pytest.approx(CLOSED[j](r, a), abs=1e-13)


def test_they_are_orthonormal_over_the_disc():
    """Gauss-Legendre in r², a trapezium in the angle: exact for these orders."""
    node, weight = np.polynomial.legendre.leggauss(12)
    r2, n = 0.5 * (node + 1.0), 32
    a = 2.0 * np.pi * np.arange(n) / n
    r = np.sqrt(np.repeat(r2, n))
    z = np.stack([values(j, r, np.tile(a, 12)) for j in range(1, 37)])
    gram = (z * np.repeat(0.5 * weight, n) / n) @ z.T
    assert gram == pytest.approx(np.eye(36), abs=1e-12)


@pytest.mark.parametrize("j", [0, zernike.MOST + 1])
def test_indices_beyond_the_table_are_refused(j):
    with pytest.raises(InvalidValue, match=f"Noll index {j}"):
        zernike.noll(j)
