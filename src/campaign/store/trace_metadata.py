"""The metadata of a trace group as Zarr reads it, written from a spec and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import Damage
from campaign.store.records import dumps_pretty, read_json
from campaign.store.trace_codec import CHECKSUM, DTYPES, closed
from campaign.store.trace_spec import Field, TraceSpec

METADATA = "zarr.json"


def group_files(spec: TraceSpec) -> dict[str, bytes]:
    """The files that a trace group begins with: name inside the group → content; its own metadata are the last."""
    files: dict[str, bytes] = {}
    arrays = {field.name: _field_metadata(spec, field) for field in spec.fields}
    for name, (dims, values, unit) in spec.coordinates.items():
        own = values() if callable(values) else values
        arrays[name], chunk = _coordinate(dims, own, unit, has_checksum=spec.has_checksums)
        files["/".join((name, "c", *["0"] * own.ndim))] = chunk
    files |= {f"{name}/{METADATA}": dumps_pretty(metadata) for name, metadata in arrays.items()}
    # nothing is ever added or resized, so the group can say what its arrays are: one file to read instead of many
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    files[METADATA] = dumps_pretty(group_metadata(spec.attributes) | {"consolidated_metadata": consolidated})
    return files


def stored_field(folder: Path) -> tuple[int, Field] | None:
    """An array of a group as its metadata describes it: (rows, field); None where there is none.

    Raises:
        Damage: its metadata cannot be read.
    """
    path = folder / METADATA
    try:
        metadata = read_json(path)
        shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
        field = Field(
            name=folder.name,
            dims=tuple(metadata["dimension_names"][1:]),
            shape=tuple(shape[1:]),
            run_chunk=chunk[0],
            chunk=tuple(chunk[1:]),
            dtype=metadata["data_type"],
            has_checksum=any(codec["name"] == CHECKSUM for codec in metadata["codecs"]),
        )
        return shape[0], field
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, IndexError) as error:
        raise Damage(f"{path} does not describe an array", hint="run `campaign verify`") from error


def group_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a group: of a program, of a stage, of all."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def _array_metadata(shape, chunk, dtype: str, fill, dims, attributes, *, has_checksum: bool) -> dict[str, Any]:
    width = 8 if dtype == "string" else int(dtype.lstrip("uintfloa"))
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}} if width > 8 else {"name": "bytes"},
        {
            "name": "blosc",
            "configuration": {
                "typesize": width // 8,
                "cname": "lz4",
                "clevel": 1,
                "shuffle": "shuffle",
                "blocksize": 0,
            },
        },
        *([{"name": CHECKSUM}] if has_checksum else []),
    ]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if isinstance(fill, float) and math.isnan(fill) else fill,
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def _field_metadata(spec: TraceSpec, field: Field) -> dict[str, Any]:
    return _array_metadata(
        (spec.n_rows, *field.shape),
        (field.run_chunk, *field.chunk),
        field.dtype,
        field.fill,
        ("run", *field.dims),
        ({"units": field.unit} if field.unit else {}) | {"coordinates": "run_id"},
        has_checksum=field.has_checksum,
    )


def _coordinate(
    dims: tuple[str, ...], values: np.ndarray, unit: str, *, has_checksum: bool
) -> tuple[dict[str, Any], bytes]:
    """Metadata of a coordinate array and its only chunk: numbers as they are, text as Zarr strings."""
    from numcodecs import blosc, vlen, zstd

    attributes = {"units": unit} if unit else {}
    if values.dtype.kind in "UO":
        metadata = _array_metadata(values.shape, values.shape, "string", "", dims, attributes, has_checksum=False)
        metadata["codecs"] = [
            {"name": "vlen-utf8", "configuration": {}},
            {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
        ]
        return metadata, zstd.compress(vlen.VLenUTF8().encode(values.astype(object)), 0)
    kind = str(values.dtype)
    metadata = _array_metadata(values.shape, values.shape, kind, 0, dims, attributes, has_checksum=has_checksum)
    data = blosc.compress(np.ascontiguousarray(values, DTYPES[kind]), b"lz4", 1, blosc.SHUFFLE)
    return metadata, closed(data, has_checksum)
