"""A few of many draws, chosen so that they are spread like all of them."""

from __future__ import annotations

import numpy as np

from campaign.errors import InvalidValue


def spread_rows(draws: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Numbers of n different rows of (N, d), ascending.

    The draws are put in order along a Z-curve through their ranks, on which neighbours are near in every parameter, and
    one is drawn at random out of each n-th part of the order. Every draw is equally likely to be chosen up to 1/N, so
    means are unbiased; no region gets many more or fewer than its share, so marginals are kept better than by chance.

    Raises:
        InvalidValue: there are fewer than n.

    Source: systematic sampling, Cochran 1977, "Sampling techniques", ch. 8; the curve: Morton 1966.
    """
    if not 0 < n <= len(draws):
        raise InvalidValue(f"{n:,} of {len(draws):,} draws cannot be chosen", hint="ask for fewer, or discard less")
    edges = np.arange(n + 1) * len(draws) // n
    places = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    return np.sort(np.argsort(_along_curve(draws), kind="stable")[places])


def _along_curve(draws: np.ndarray) -> np.ndarray:
    """Place of each row on the Z-curve through the ranks of all columns: their bits, the highest first, in turn."""
    size, d = draws.shape
    n_bits = max(1, min(16, 63 // d))
    place = np.zeros(size, np.int64)
    ranks = np.empty((size, d), np.int64)
    np.put_along_axis(ranks, np.argsort(draws, axis=0, kind="stable"), np.arange(size)[:, None], axis=0)
    cells = (ranks << n_bits) // size
    for bit in range(n_bits - 1, -1, -1):
        for column in range(min(d, 63)):
            place = (place << 1) | ((cells[:, column] >> bit) & 1)
    return place
