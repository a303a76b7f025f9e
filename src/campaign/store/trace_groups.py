"""Trace groups from what programs declare: the same files that the first worker made, without a worker.

`programs/<stage>/<program>.json` says of every array its axes, lengths, type and unit, and holds the coordinates; the
ids of the runs stand in the plan. So metadata that were lost are made again, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import Damage
from campaign.store.trace_metadata import stored_field
from campaign.store.trace_spec import Field, TraceSpec

RUN_ID = "run_id"  # the coordinate that the plan holds
COORDINATES = "coordinates"


def declared_arrays(spec: TraceSpec) -> dict[str, Any]:
    """What a declaration says of a program's arrays."""
    return {
        "trace": {
            f.name: {"dims": list(f.dims), "shape": list(f.shape), "run_chunk": f.run_chunk, "chunk": list(f.chunk)}
            | {"dtype": f.dtype}
            | ({"unit": f.unit} if f.unit else {})
            | ({"once": True} if f.once else {})
            for f in spec.fields
        },
        COORDINATES: {
            name: {"dims": list(dims), "dtype": _kind(values), "values": values.tolist(), "unit": unit}
            for name, (dims, given, unit) in spec.coordinates.items()
            if name != RUN_ID
            for values in (given() if callable(given) else given,)
        },
        "has_checksums": spec.has_checksums,
    }


def _kind(values: np.ndarray) -> str:
    return "string" if values.dtype.kind in "UO" else str(values.dtype)


def is_whole(declared: Mapping[str, Any]) -> bool:
    """Whether a declaration says all that its group does: those of earlier versions lack units and coordinates."""
    return COORDINATES in declared


def declared_spec(
    declared: Mapping[str, Any], entry: Mapping[str, Any], stage: str, program: str, run_ids: np.ndarray
) -> TraceSpec:
    """The arrays of a program, from its declaration.

    Args:
        declared: the declaration.
        entry: of the program in the plan header.
        stage, program: names.
        run_ids: of its runs, in the order of their rows.
    """
    coordinates = {
        name: (tuple(known["dims"]), _values(known), known["unit"])
        for name, known in declared.get(COORDINATES, {}).items()
    }
    names = {"problem": entry["problem"]["name"], "engine": entry["engine"]["name"]}
    return TraceSpec(
        n_rows=entry["n_rows"],
        block_size=entry["block_size"],
        fields=tuple(declared_field(name, declared, entry["block_size"]) for name in declared["trace"]),
        coordinates={RUN_ID: (("run",), run_ids, ""), **coordinates},
        attributes={"stage": stage, "program": program, **names},
    )


def with_run_chunks(declared: Mapping[str, Any], group: Path) -> Mapping[str, Any]:
    """A declaration that says how many runs a chunk holds: where one of an earlier version does not, the array does."""
    arrays = declared["trace"]
    found = {name: _stored(group / name) for name, known in arrays.items() if "run_chunk" not in known}
    return dict(declared) | {
        "trace": {name: known | ({"run_chunk": n} if (n := found.get(name)) else {}) for name, known in arrays.items()}
    }


def _stored(folder: Path) -> int | None:
    try:
        found = stored_field(folder)
    except Damage:
        return None
    return None if found is None else found[1].run_chunk


def declared_field(name: str, declared: Mapping[str, Any], block_size: int) -> Field:
    """One array of a declaration. In those of earlier versions a chunk holds the runs of a block and no checksum."""
    known = declared["trace"][name]
    return Field(
        name=name,
        dims=tuple(known["dims"]),
        shape=tuple(known["shape"]),
        run_chunk=known.get("run_chunk", block_size),
        chunk=tuple(known["chunk"]),
        dtype=known["dtype"],
        unit=known.get("unit", ""),
        once=known.get("once", False),
        has_checksum=declared.get("has_checksums", False),
    )


def _values(known: Mapping[str, Any]) -> np.ndarray:
    if known["dtype"] == "string":
        return np.array(known["values"], dtype=str)
    return np.array(known["values"], dtype=known["dtype"])  # null, where NaN was, becomes NaN
