"""Traces in Zarr: one array a quantity, chunks of runs of one block and a range of steps, one writer a chunk.

The group of a program is made once, whole, by rename; its bytes follow from the plan alone, so whichever worker comes
first may make it. A chunk is the unit of writing: encoded here with the codecs that the array's metadata declares
(little-endian bytes, Blosc lz4 with shuffle) and published like every other file. Nothing ever writes part of a chunk.
How many runs and steps a chunk has follows from bytes (`trace_chunks`); the array's metadata says it, and whoever
reads or goes on writing takes it from there. Arrays have plain chunks, no shards: small ones hold a block of runs.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import Damage
from campaign.store.atomic import publish_many, storage_error, sync_folder, temporary_name
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty, publish_json, read_json
from campaign.store.trace_chunks import cut

_DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "int8": "|i1", "uint8": "|u1"}
_AT_ONCE_BYTES = 64 * 2**20  # of encoded chunks that wait to be published together
BLOSC_HEADER = 16  # bytes; the last four are the compressed size


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One array of a trace group.

    Attributes:
        name: array name.
        dims: names of the axes after `run`; "step" first where the field is recorded each step.
        shape: their lengths.
        run_chunk: runs a chunk; it divides the runs of a block.
        chunk: chunk lengths of the axes after `run`; only the first may be split.
        dtype: NumPy name.
        unit: as a person writes it.
        once: written once, at the end of a run.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    run_chunk: int
    chunk: tuple[int, ...]
    dtype: str
    unit: str = ""
    once: bool = False

    @property
    def fill(self) -> float | int:
        """Stands for "not reached": NaN, or −1 where the type has no NaN."""
        return math.nan if self.dtype.startswith("float") else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpec:
    """Everything that the metadata of a program's trace group says.

    Attributes:
        n_rows: runs of the program.
        block_size: runs of a block.
        fields: the arrays.
        coordinates: arrays written with the group: name → (dims, values or what makes them, unit).
        attributes: of the group.
    """

    n_rows: int
    block_size: int
    fields: tuple[Field, ...]
    coordinates: Mapping[str, tuple[tuple[str, ...], np.ndarray | Callable[[], np.ndarray], str]]
    attributes: Mapping[str, Any]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)


def ensure_group(layout: Layout, stage: str, program: str, spec: TraceSpec) -> Path:
    """The trace group of a program, made if it is not there. Safe to call from any number of workers at once."""
    group = layout.trace_group(stage, program)
    if (group / "zarr.json").exists():
        return group
    for parent in (layout.traces, layout.traces / stage):
        if not (parent / "zarr.json").exists():
            publish_json(parent / "zarr.json", _group_metadata({}), durable=False)
    temporary = temporary_name(group)
    try:
        temporary.mkdir(parents=True)
        arrays = {field.name: _field_metadata(spec, field) for field in spec.fields}
        for name, metadata in arrays.items():
            (temporary / name).mkdir()
            (temporary / name / "zarr.json").write_bytes(dumps_pretty(metadata))
        for name, (dims, values, unit) in spec.coordinates.items():
            own = values() if callable(values) else values
            arrays[name] = _write_coordinate(temporary / name, dims, own, unit)
        # nothing is ever added or resized, so the group can say what its arrays are: one file to read instead of many
        consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
        group_metadata = _group_metadata(spec.attributes) | {"consolidated_metadata": consolidated}
        (temporary / "zarr.json").write_bytes(dumps_pretty(group_metadata))
        for folder, _, names in os.walk(temporary):
            for name in names:
                descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        try:
            os.rename(temporary, group)
        except OSError:
            if not (group / "zarr.json").exists():
                raise
        sync_folder(group.parent)
    except OSError as error:
        raise storage_error(error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return group


def chunk_path(group: Path, field: Field, row_chunk: int, step_chunk: int) -> Path:
    """File of the chunk at (row_chunk, step_chunk, 0, …)."""
    index = [str(row_chunk)] + ([str(step_chunk)] + ["0"] * (len(field.shape) - 1) if field.shape else [])
    return group.joinpath(field.name, "c", *index)


def encode_chunk(field: Field, values: np.ndarray) -> bytes:
    """Bytes of one chunk; `values` (runs, …) is padded with the fill value to the full chunk shape."""
    from numcodecs import blosc

    full = (field.run_chunk, *field.chunk)
    dtype = np.dtype(_DTYPES[field.dtype])
    if values.shape != full:
        padded = np.full(full, field.fill, dtype)
        padded[tuple(slice(n) for n in values.shape)] = values
        values = padded
    data = np.ascontiguousarray(values, dtype)
    return blosc.compress(data, b"lz4", 1, blosc.SHUFFLE)


def size_in(header: bytes) -> int | None:
    """The length of a chunk that its first `BLOSC_HEADER` bytes state; None where there are fewer."""
    return int.from_bytes(header[12:BLOSC_HEADER], "little") if len(header) >= BLOSC_HEADER else None


def decode_chunk(field: Field, data: bytes) -> np.ndarray:
    """The values of one chunk, padding included: the inverse of `encode_chunk`.

    Raises:
        ValueError, RuntimeError: it is not a chunk of this field, or not all of one, which decoders do not notice.
    """
    from numcodecs import blosc

    if size_in(data) != len(data):
        raise ValueError(f"{len(data)} bytes are not all of a chunk")
    values = np.frombuffer(blosc.decompress(data), np.dtype(_DTYPES[field.dtype]))
    return values.reshape((field.run_chunk, *field.chunk))


def write_chunks(group: Path, spec: TraceSpec, items: Iterable[tuple[str, int, int, np.ndarray]]) -> int:
    """Publish chunks of (field name, first row, first step, values). Returns the bytes written.

    Rows and steps begin with a chunk and end with one, or with the block and the array. Chunks that hold nothing but
    the fill value are not written: that is how Zarr says "nothing here".
    """
    written, size, files = 0, 0, []
    for name, row, step, values in items:
        field = spec.field(name)
        for row_chunk, step_chunk, own in cut(values, row, step, field.run_chunk, field.chunk):
            nothing = np.isnan(own).all() if field.dtype.startswith("float") else (own == -1).all()
            if not nothing:
                files.append((chunk_path(group, field, row_chunk, step_chunk), encode_chunk(field, own)))
                size += len(files[-1][1])
            if size >= _AT_ONCE_BYTES:
                publish_many(files)
                written, size, files = written + size, 0, []
    publish_many(files)
    return written + size


def stored_field(folder: Path) -> tuple[int, Field] | None:
    """An array of a group as its metadata describes it: (rows, field); None where there is none.

    Raises:
        Damage: its metadata cannot be read.
    """
    path = folder / "zarr.json"
    try:
        metadata = read_json(path)
        shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
        dims, dtype = metadata["dimension_names"][1:], metadata["data_type"]
    except FileNotFoundError:
        return None
    except (KeyError, TypeError) as error:
        raise Damage(f"{path} does not describe an array", hint="run `campaign verify`") from error
    own = {"name": folder.name, "dims": tuple(dims), "dtype": dtype}
    return shape[0], Field(**own, shape=tuple(shape[1:]), run_chunk=chunk[0], chunk=tuple(chunk[1:]))


def _group_metadata(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def _array_metadata(shape, chunk, dtype: str, fill, dims, attributes) -> dict[str, Any]:
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
    )


def _write_coordinate(folder: Path, dims: tuple[str, ...], values: np.ndarray, unit: str) -> dict[str, Any]:
    """Write a coordinate array, whole in one chunk: numbers as they are, text as Zarr strings. Returns its metadata."""
    from numcodecs import blosc, vlen, zstd

    attributes = {"units": unit} if unit else {}
    if values.dtype.kind in "UO":
        metadata = _array_metadata(values.shape, values.shape, "string", "", dims, attributes)
        metadata["codecs"] = [
            {"name": "vlen-utf8", "configuration": {}},
            {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
        ]
        data = zstd.compress(vlen.VLenUTF8().encode(values.astype(object)), 0)
    else:
        kind = str(values.dtype)
        metadata = _array_metadata(values.shape, values.shape, kind, 0, dims, attributes)
        data = blosc.compress(np.ascontiguousarray(values, _DTYPES[kind]), b"lz4", 1, blosc.SHUFFLE)
    folder.mkdir()
    (folder / "zarr.json").write_bytes(dumps_pretty(metadata))
    chunk = folder.joinpath("c", *["0"] * values.ndim)
    chunk.parent.mkdir(parents=True, exist_ok=True)
    chunk.write_bytes(data)
    return metadata
