"""The points of a stage, in blocks of columns: expand → include → derive → exclude → replicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.errors import CampaignError, Diagnostic, InvalidValue, ManifestError, UnknownName, nearest
from campaign.identity import canonical
from campaign.manifest.columns import Column, Columns, column_of, concatenate
from campaign.manifest.diagnose import pointer
from campaign.manifest.model import Rule, Stage
from campaign.manifest.nodes import Crossed, Leaf, Node, Union

BLOCK_POINTS = 2**17  # points that are worked on at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """All points of a stage.

    Attributes:
        n: how many, replicates included.
        columns: one entry an axis, and `replicate`.
        n_before: points before `exclude` and `replicates`.
        n_excluded: of those, left out.
        idle_rules: the entries of `exclude` that leave nothing out, by their place.
    """

    n: int
    columns: Columns
    n_before: int
    n_excluded: int
    idle_rules: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `validate`, `plan` and `submit` should say about the points."""
        return tuple(f"{place}: excludes nothing: no point fits it" for place in self.idle_rules)


def stage_node(stage: Stage, source: Leaf | None = None) -> Node:
    """The tree of `expand` and `include`, for each row of `source` where the stage starts from one."""
    node = stage.node if stage.include is None else Union((stage.node, stage.include))
    return node if source is None else Crossed(source, node)


def expand(stage: Stage, *, source: Leaf | None = None, base: Mapping[str, Any] | None = None) -> Points:
    """All points of a stage.

    Args:
        stage: the parsed stage.
        source: axes that come from the stage that it starts from, one row a group.
        base: values of the stage's own documents by dotted path; what a point does not set has these in expressions.

    Raises:
        ManifestError: an expression that fails on the columns; values that cannot are on one axis.
    """
    try:
        return _expanded(stage, source, base or {})
    except InvalidValue as error:
        raise _at(pointer(stage.place, "expand"), error) from None


def _expanded(stage: Stage, source: Leaf | None, base: Mapping[str, Any]) -> Points:
    blocks, n_before, n_excluded = [], 0, 0
    is_idle = np.ones(len(stage.exclude), dtype=bool)
    for n, columns in point_blocks(stage, source=source):
        n_before += n
        columns = _derive(stage, columns, n, base)
        kept = np.ones(n, dtype=bool)
        for i, rule in enumerate(stage.exclude):
            out = _excluded(rule, columns, n, base)
            is_idle[i] &= not out.any()
            kept &= ~out
        n_excluded += int(n - kept.sum())
        index = np.repeat(np.flatnonzero(kept), stage.replicates)
        columns = {path: column.take(index) for path, column in columns.items()}
        if "replicate" not in columns:
            columns["replicate"] = Column("int", np.tile(np.arange(stage.replicates), int(kept.sum())))
        blocks.append((len(index), columns))
    n = sum(size for size, _ in blocks)
    idle = tuple(rule.place for rule, is_so in zip(stage.exclude, is_idle, strict=True) if is_so)
    return Points(n=n, columns=concatenate(blocks), n_before=n_before, n_excluded=n_excluded, idle_rules=idle)


def point_blocks(stage: Stage, *, source: Leaf | None = None) -> Iterator[tuple[int, Columns]]:
    """(n, columns) of `BLOCK_POINTS` points at a time, before derive, exclude and replicates."""
    node = stage_node(stage, source)
    for first in range(0, node.n, BLOCK_POINTS):
        index = np.arange(first, min(first + BLOCK_POINTS, node.n))
        yield len(index), node.take(index)


def _arrays(names: tuple[str, ...], columns: Columns, n: int, base: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {}
    for name in names:
        if name in columns:
            arrays[name] = columns[name].array(base.get(name))
        elif name in base:
            value = base[name]
            arrays[name] = np.full(n, value) if isinstance(value, (bool, int, float)) else _objects(value, n)
        else:
            raise UnknownName(f"unknown name `{name}`", hint=nearest(name, (*columns, *base)))
    arrays.setdefault("", np.zeros(n))  # an expression without names has a length too
    return arrays


def _objects(value: Any, n: int) -> np.ndarray:
    array = np.empty(n, dtype=object)
    for i in range(n):
        array[i] = value
    return array


def _derive(stage: Stage, columns: Columns, n: int, base: Mapping[str, Any]) -> Columns:
    for path, expression, place in stage.derive:
        try:
            value = expression.evaluate(_arrays(expression.names, columns, n, base))
        except CampaignError as error:
            raise _at(place, error) from None
        columns = {**columns, path: _column(value)}
    return columns


def _column(value: np.ndarray) -> Column:
    match value.dtype.kind:
        case "b":
            return Column("bool", value)
        case "i" | "u":
            return Column("int", value.astype(np.int64))
        case "f":
            return Column("float", value.astype(np.float64) + 0.0)
        case _:
            return column_of(value.tolist())


def _excluded(rule: Rule, columns: Columns, n: int, base: Mapping[str, Any]) -> np.ndarray:
    try:
        if rule.condition is not None:
            return np.broadcast_to(rule.condition.mask(_arrays(rule.condition.names, columns, n, base)), n)
        return _matches(rule, columns, n, base)
    except CampaignError as error:
        raise _at(rule.place, error) from None


def _matches(rule: Rule, columns: Columns, n: int, base: Mapping[str, Any]) -> np.ndarray:
    matched = np.ones(n, dtype=bool)
    for path, wanted in (rule.match or {}).items():
        same_base = path in base and canonical(base[path]) == canonical(wanted)
        column = columns.get(path)
        if column is None:
            if path not in base:
                raise UnknownName(f"unknown axis `{path}`", hint=nearest(path, (*columns, *base)))
            matched &= same_base
            continue
        present = column.where_present()
        matched &= np.where(present, _equals(column, wanted), same_base)
    return matched


def _equals(column: Column, wanted: Any) -> np.ndarray:
    if column.is_coded:
        text = canonical(wanted)
        return np.array([*(canonical(v) == text for v in column.values), False])[column.data]
    is_number = isinstance(wanted, (int, float)) and not isinstance(wanted, bool)
    if is_number if column.kind in ("int", "float") else isinstance(wanted, bool):
        return column.data == wanted
    return np.zeros(len(column), dtype=bool)


def _at(place: str, error: CampaignError) -> ManifestError:
    return ManifestError([Diagnostic.of(place, error)])
