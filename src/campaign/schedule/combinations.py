"""Groups of rows that agree in everything but varying numbers: options are resolved and ids made for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from campaign.manifest.columns import Column, Columns

_DENSE = 2**40  # keys are renumbered before their product outgrows int64


@dataclass(frozen=True, slots=True, eq=False)
class Combinations:
    """Rows by group.

    Attributes:
        code: group of each row; groups are numbered in the order of their first rows.
        first: first row of each group.
        order: rows sorted by group, in plan order inside a group.
        ends: end of each group in `order`.
    """

    code: np.ndarray
    first: np.ndarray
    order: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, k: int) -> np.ndarray:
        """The rows of group k."""
        return self.order[(self.ends[k - 1] if k else 0) : self.ends[k]]


def combinations(n: int, columns: Columns, by_value: Iterable[str], by_presence: Iterable[str]) -> Combinations:
    """Group n rows.

    Args:
        n: number of rows.
        columns: the axes.
        by_value: axes whose values must agree.
        by_presence: axes that must be set, or not set, together.
    """
    key, radix = np.zeros(n, dtype=np.int64), 1
    for path in by_value:
        codes, size = _codes(columns[path])
        key, radix = _combine(key, radix, codes, size)
    for path in by_presence:
        present = columns[path].present
        if present is not None and not present.all():
            key, radix = _combine(key, radix, present.astype(np.int64), 2)
    if radix == 1:
        return Combinations(key, np.zeros(min(n, 1), dtype=np.int64), np.arange(n), np.array([n][: min(n, 1)]))
    _, first, code, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(first), dtype=np.int64)
    by_first = np.argsort(first)
    rank[by_first] = np.arange(len(first))
    code = rank[code]
    return Combinations(code, first[by_first], np.argsort(code, kind="stable"), np.cumsum(counts[by_first]))


def _codes(column: Column) -> tuple[np.ndarray, int]:
    """Small non-negative integers, equal where the values are equal; 0 where absent."""
    if column.is_coded:
        codes, size = column.data.astype(np.int64), len(column.values)
    else:
        distinct, codes = np.unique(column.data, return_inverse=True)
        size = len(distinct)
    if column.present is None:
        return codes, max(size, 1)
    return np.where(column.present, codes + 1, 0), size + 1


def _combine(key: np.ndarray, radix: int, codes: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    if radix * size > _DENSE:
        distinct, key = np.unique(key, return_inverse=True)
        radix = len(distinct)
    return key * size + codes, radix * size
