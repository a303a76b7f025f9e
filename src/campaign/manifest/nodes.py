"""The tree of an expansion: how many points it has, and the columns of any of them. Nothing is made before it is asked.

leaf      rows that are given: list, zip, sample, file, one axis of a grid
product   every child with every other; the last child varies fastest
union     one child after the other
chain     a product whose last factor depends on a key that the earlier ones set (`switch`)
crossed   every point once for each row that a stage starts from
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from campaign.manifest.columns import Column, Columns, named


class Node(Protocol):
    """A set of points in a fixed order."""

    @property
    def axes(self) -> Mapping[str, str]:
        """Path → place in the manifest."""
        ...

    @property
    def n(self) -> int:
        """Number of points."""
        ...

    def take(self, index: np.ndarray) -> Columns:
        """The columns at these positions, each 0 ≤ position < n."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Rows that are given."""

    columns: Columns
    n: int
    axes: Mapping[str, str]

    def take(self, index: np.ndarray) -> Columns:
        return {path: column.take(index) for path, column in self.columns.items()}


ONE_POINT = Leaf({}, 1, {})  # the expansion of a stage that has none: its base


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Every child with every other; the last varies fastest. The axes of the children are disjoint."""

    children: tuple[Node, ...]
    axes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", {p: place for c in self.children for p, place in c.axes.items()})

    @property
    def n(self) -> int:
        return math.prod(child.n for child in self.children)

    def take(self, index: np.ndarray) -> Columns:
        columns: Columns = {}
        stride = self.n
        for child in self.children:
            stride //= child.n
            columns.update(child.take((index // stride) % child.n))
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class Union:
    """One child after the other; an axis that a child does not set is absent in its points."""

    children: tuple[Node, ...]
    axes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", {p: place for c in reversed(self.children) for p, place in c.axes.items()})

    @property
    def n(self) -> int:
        return sum(child.n for child in self.children)

    def take(self, index: np.ndarray) -> Columns:
        ends = np.cumsum([child.n for child in self.children])
        which = np.searchsorted(ends, index, side="right")
        parts = []
        for k, child in enumerate(self.children):
            at = np.flatnonzero(which == k)
            if at.size:
                parts.append((at, child.take(index[at] - (int(ends[k]) - child.n))))
        return gather(len(index), parts)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Each point of `prefix` with every point of the case that its `choice` names.

    Attributes:
        prefix: the earlier factors.
        cases: the nodes of the cases.
        choice: for each point of `prefix`, the index of its case.
        ends: cumulated number of points after each point of `prefix`.
    """

    prefix: Node
    cases: tuple[Node, ...]
    choice: np.ndarray
    axes: Mapping[str, str] = field(init=False)
    ends: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        nodes = (*reversed(self.cases), self.prefix)
        object.__setattr__(self, "axes", {p: place for c in nodes for p, place in c.axes.items()})
        sizes = np.array([case.n for case in self.cases], dtype=np.int64)
        object.__setattr__(self, "ends", np.cumsum(sizes[self.choice]))

    @property
    def n(self) -> int:
        return int(self.ends[-1])

    def take(self, index: np.ndarray) -> Columns:
        row = np.searchsorted(self.ends, index, side="right")
        columns = self.prefix.take(row)
        choice = self.choice[row]
        sizes = np.array([case.n for case in self.cases], dtype=np.int64)
        within = index - (self.ends[row] - sizes[choice])
        parts = []
        for k, case in enumerate(self.cases):
            at = np.flatnonzero(choice == k)
            if at.size:
                parts.append((at, case.take(within[at])))
        return columns | gather(len(index), parts)


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """Every point of `node` for each row of `source`; where both set an axis, the point's own value holds."""

    source: Leaf
    node: Node
    axes: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", {**self.source.axes, **self.node.axes})

    @property
    def n(self) -> int:
        return self.source.n * self.node.n

    def take(self, index: np.ndarray) -> Columns:
        inherited = self.source.take(index // self.node.n)
        columns = self.node.take(index % self.node.n)
        for path, column in inherited.items():
            own: Column | None = columns.get(path)
            if own is None:
                columns[path] = column
            elif own.present is not None and not own.present.all():
                gaps, filled = np.flatnonzero(~own.present), np.flatnonzero(own.present)
                pieces = [(filled, own.take(filled)), (gaps, column.take(gaps))]
                columns[path] = named(path, len(index), [piece for piece in pieces if piece[0].size])
        return columns


def gather(n: int, parts: list[tuple[np.ndarray, Columns]]) -> Columns:
    """Columns of n points from the columns of parts and the positions of each part."""
    paths = dict.fromkeys(path for _, columns in parts for path in columns)
    return {path: named(path, n, [(at, c[path]) for at, c in parts if path in c]) for path in paths}
