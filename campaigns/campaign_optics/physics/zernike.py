"""Zernike polynomials in Noll's order, as polynomials of x and y.

A wavefront Σ c_j Z_j(x, y) = Σ_ab d_ab x^a y^b is then a product of three small matrices on any grid: no polynomial is
stored on it, and a shift of the grid is a shift of two vectors.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue

MOST = 66  # Noll index: radial order 10, beyond which powers of x and y lose digits


def noll(j: int) -> tuple[int, int]:
    """Radial order n and signed azimuthal order m of Noll's index j = 1, 2, …: m > 0 is a cosine, m < 0 a sine.

    Raises:
        InvalidValue: j below 1 or above `MOST`.

    Source: Noll 1976, J. Opt. Soc. Am. 66, 207. Checked: tests/unit/optics/physics/test_zernike.py.
    """
    if not 1 <= j <= MOST:
        raise InvalidValue(f"the Noll index {j} is not valid", hint=f"valid: 1 to {MOST}")
    n = math.isqrt(8 * j - 7) // 2 + 1
    while n * (n + 1) // 2 >= j:
        n -= 1
    k = j - n * (n + 1) // 2 - 1  # place within the order n, from 0
    m = 2 * ((k + 1 + n % 2) // 2) - n % 2
    return n, m if j % 2 == 0 else -m


@cache
def _polynomial(j: int) -> np.ndarray:
    """d[b, a] of Z_j = Σ d_ba y^b x^a on the unit disc, with unit root mean square there."""
    n, m = noll(j)
    k = abs(m)
    angular = {}  # the real or imaginary part of (x + iy)^k
    for p in range(k + 1):
        part = 1j**p * math.comb(k, p)
        angular[p, k - p] = part.real if m >= 0 else part.imag
    out = np.zeros((n + 1, n + 1))
    for s in range((n - k) // 2 + 1):
        radial = (-1) ** s * math.factorial(n - s)
        radial //= math.factorial(s) * math.factorial((n + k) // 2 - s) * math.factorial((n - k) // 2 - s)
        half = (n - k) // 2 - s  # r^(n−2s) = r^k · (x² + y²)^half
        for q in range(half + 1):
            for (b, a), c in angular.items():
                out[b + 2 * q, a + 2 * (half - q)] += radial * math.comb(half, q) * c
    return out * math.sqrt(n + 1 if m == 0 else 2 * (n + 1))


def polynomials(indices: tuple[int, ...]) -> Float[np.ndarray, "j p p"]:
    """Coefficients [j, b, a] of y^b x^a of Zernike polynomials by Noll index; p − 1 is the highest order."""
    p = 1 + max((noll(j)[0] for j in indices), default=0)
    out = np.zeros((len(indices), p, p))
    for i, j in enumerate(indices):
        own = _polynomial(j)
        out[i, : len(own), : len(own)] = own
    return out


def is_even(j: int) -> bool:
    """Whether Z_j(−x, −y) = Z_j(x, y)."""
    return noll(j)[0] % 2 == 0
