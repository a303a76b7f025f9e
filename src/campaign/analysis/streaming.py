"""Moments and quantiles of draws that come in pieces (rows, d): exact, and memory does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

_SIGN = np.uint64(1 << 63)
_DIGIT = 16  # bits that one pass decides


def moments(pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d), n − 1 in the denominator.

    Source: Chan, Golub & LeVeque 1983, The American Statistician 37, 242, eqs. 2.1.
    """
    n, mean, scatter = 0, np.zeros(()), np.zeros(())
    for piece in pieces:
        own = piece.mean(axis=0)
        deviation, shift, total = piece - own, own - mean, n + len(piece)
        scatter = scatter + deviation.T @ deviation + np.outer(shift, shift) * (n * len(piece) / total)
        mean = mean + shift * (len(piece) / total)
        n = total
    return mean, scatter / max(n - 1, 1)


def quantiles(pieces: Callable[[], Iterable[np.ndarray]], n: int, probabilities: Sequence[float]) -> np.ndarray:
    """Quantiles (len(probabilities), d) of n rows, interpolated like those of `numpy.quantile`.

    Order statistics are found by their bits, 16 a pass: values are counted by the next digits of those that share the
    digits before. Each pass holds 65,536 counts for each order statistic that is looked for, whatever the values are.

    Args:
        pieces: gives the draws once more for each of the four passes.
    """
    at = np.asarray(probabilities, np.float64) * (n - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, n - 1)
    ranks = np.unique(np.concatenate([below, above]))
    found = _order_statistics(pieces, ranks)
    low, high = found[np.searchsorted(ranks, below)], found[np.searchsorted(ranks, above)]
    with np.errstate(invalid="ignore"):
        between = (at - below)[:, None]
        return np.where((low == high) | (between == 0), low, low + (high - low) * between)


def _order_statistics(pieces: Callable[[], Iterable[np.ndarray]], ranks: np.ndarray) -> np.ndarray:
    """The values of some ranks (from 0 on) in every column: (len(ranks), d). NaN is the largest."""
    prefix = left = np.zeros((0, 0), np.uint64)
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        counts: dict[tuple[int, int], np.ndarray] = {}
        for piece in pieces():
            keys = _ordered(piece)
            if not prefix.size:
                prefix = np.zeros((len(ranks), keys.shape[1]), np.uint64)
                left = np.repeat(ranks[:, None], keys.shape[1], axis=1)
            for column in range(keys.shape[1]):
                own = keys[:, column]
                for head in np.unique(prefix[:, column]):
                    chosen = own if shift == 64 - _DIGIT else own[own >> np.uint64(shift + _DIGIT) == head]
                    digits = (chosen >> np.uint64(shift)) & np.uint64((1 << _DIGIT) - 1)
                    known = counts.setdefault((column, int(head)), np.zeros(1 << _DIGIT, np.int64))
                    np.add.at(known, digits.astype(np.int64), 1)
        for (row, column), head in np.ndenumerate(prefix):
            total = np.cumsum(counts[column, int(head)])
            digit = int(np.searchsorted(total, left[row, column], side="right"))
            left[row, column] -= total[digit - 1] if digit else 0
            prefix[row, column] = (int(head) << _DIGIT) | digit
    return _values(prefix)


def _ordered(values: np.ndarray) -> np.ndarray:
    """Numbers as unsigned integers of the same order."""
    bits = (np.asarray(values, np.float64) + 0.0).view(np.uint64)  # −0 becomes 0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values(keys: np.ndarray) -> np.ndarray:
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
