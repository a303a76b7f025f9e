"""The rows of a plan as an Arrow table: ids, places, axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from campaign.identity import canonical, number_texts, run_document, run_ids
from campaign.manifest.columns import Column, Columns
from campaign.registry import ENGINES, load
from campaign.schedule.resolve import Resolved, ResolvedStage
from campaign.schedule.starts import BLOCKED

_CHUNK = 2**16  # rows whose texts are in memory at once
_ARROW = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "string": pa.string(), "json": pa.string()}


def run_digests(stage: ResolvedStage, columns: Columns, seed: int, precision: str) -> np.ndarray:
    """First 128 bits of the run id of every row, shape (n, 2), uint64.

    One canonical text a group; only the numbers that vary are printed for each row.
    """
    digests = np.empty((len(columns["replicate"]), 2), dtype=np.uint64)
    for k, resolved in enumerate(stage.resolved):
        rows = stage.groups.rows(k)
        gaps = tuple(p for p in stage.axes.varying if _is_gap(p, columns, rows, resolved))
        document = _document(resolved, columns, rows, seed, precision)
        paths = ("replicate", *gaps)
        keys = [tuple(path.split(".", 1)) for path in paths]
        unkeyed = load(ENGINES, resolved.engine["name"]).unkeyed
        for first in range(0, len(rows), _CHUNK):
            some = rows[first : first + _CHUNK]
            found = run_ids(document, keys, [number_texts(columns[path].data[some]) for path in paths], unkeyed)
            digests[some] = np.frombuffer(found, dtype=np.uint64).reshape(-1, 2)
    return digests


def _is_gap(path: str, columns: Columns, rows: np.ndarray, resolved: Resolved) -> bool:
    """Whether a varying axis is set in a group, and means something there."""
    kind, _, name = path.partition(".")
    if path == "replicate" or path not in columns or not columns[path].is_present(rows[0]):
        return False
    return kind not in ("start", "scale") or name in resolved.space.names


def _document(resolved: Resolved, columns: Columns, rows: np.ndarray, seed: int, precision: str) -> dict[str, Any]:
    modules = {} if resolved.module is None else {resolved.module.name: resolved.module.sha256}
    document = run_document(
        problem=resolved.identity["problem"],
        engine=resolved.identity["engine"],
        start=resolved.start,
        scale=resolved.scale,
        seed=seed,
        replicate=0,
        versions=resolved.versions,
        files={**{name: entry["sha256"] for name, entry in resolved.inputs.items()}, **modules},
        precision=precision,
    )
    if resolved.members is not None:
        document["members"] = resolved.members
    if BLOCKED in columns and (reason := columns[BLOCKED].value(int(rows[0]))) is not None:
        document[BLOCKED] = reason  # two groups without a start are two runs
    return document


def hexadecimal(digests: np.ndarray) -> pa.StringArray:
    """Digests (n, 2) as run ids of 32 digits."""
    text = np.ascontiguousarray(digests).tobytes().hex().encode()
    offsets = np.arange(0, len(text) + 1, 32, dtype=np.int32)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(offsets), pa.py_buffer(text))


def first_of_each(digests: np.ndarray) -> np.ndarray | None:
    """For each row the position of the first row with its id; None when all differ."""
    ordered = np.sort(digests[:, 0])
    if (ordered[1:] != ordered[:-1]).all():
        return None
    _, first, own = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    return None if len(first) == len(digests) else first[own.ravel()]


def axis_type(path: str, column: Column, varying: bool) -> str:
    """Type of an axis in the plan; start and scale are always doubles."""
    return "float" if column.kind == "int" and varying and path.startswith(("start.", "scale.")) else column.kind


def arrow_axis(column: Column, kind: str) -> pa.Array:
    """A column as Arrow: JSON values as canonical text, absent values null."""
    mask = None if column.present is None else ~column.present
    if not column.is_coded:
        return pa.array((column.as_float() if kind == "float" else column).data, type=_ARROW[kind], mask=mask)
    values = column.values if column.kind == "string" else [canonical(value).decode() for value in column.values]
    codes = pa.array(column.data, type=pa.int32(), mask=mask)
    return pa.DictionaryArray.from_arrays(codes, pa.array(values, type=pa.string())).cast(pa.string())


def plan_table(
    run_ids: pa.Array, columns: Columns, kinds: Mapping[str, str], place: Mapping[str, pa.Array]
) -> pa.Table:
    """The table of a part.

    Args:
        run_ids: one a row.
        columns: the axes, `replicate`, and perhaps `label` and `blocked`.
        kinds: types of the axes that get their own column.
        place: program, part, block, row, attempt.
    """
    n = len(run_ids)
    text = {
        name: arrow_axis(columns[name], columns[name].kind) if name in columns else pa.nulls(n, pa.string())
        for name in ("label", BLOCKED)
    }
    return pa.table(
        {
            "run_id": run_ids,
            **place,
            "replicate": pa.array(columns["replicate"].data, type=pa.int64()),
            "label": text["label"].cast(pa.string()),
            BLOCKED: text[BLOCKED],
            **{path: arrow_axis(columns[path], kind) for path, kind in kinds.items()},
        }
    )
