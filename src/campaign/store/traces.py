"""Traces in Zarr: one array a quantity, chunks of runs of one block and a range of steps, one writer a chunk.

The group of a program is made once, whole, by rename; its bytes follow from the plan alone, so whichever worker comes
first may make it. A chunk is the unit of writing: encoded here with the codecs that the array's metadata declares
(little-endian bytes, Blosc lz4 with shuffle, CRC-32C) and published like every other file. Nothing ever writes part of
a chunk. Arrays that were made before there were checksums go on without.
How many runs and steps a chunk has follows from bytes (`trace_chunks`); the array's metadata says it, and whoever
reads or goes on writing takes it from there. Arrays have plain chunks, no shards: small ones hold a block of runs.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from campaign.errors import Damage
from campaign.store.atomic import publish_bytes, publish_many, storage_error, sync_folder, temporary_name
from campaign.store.layout import Layout
from campaign.store.records import dumps_pretty, read_json
from campaign.store.trace_chunks import cut

_DTYPES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "int8": "|i1", "uint8": "|u1"}
_AT_ONCE_BYTES = 64 * 2**20  # of encoded chunks that wait to be published together
METADATA = "zarr.json"
BLOSC_HEADER = 16  # bytes; the last four are the compressed size
CHECKSUM_BYTES = 4
CHECKSUM = "crc32c"  # of a chunk, at its end: four bytes, little-endian; Zarr's name for it


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
        has_checksum: each chunk ends with its CRC-32C.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    run_chunk: int
    chunk: tuple[int, ...]
    dtype: str
    unit: str = ""
    once: bool = False
    has_checksum: bool = True

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
    def has_checksums(self) -> bool:
        """Each chunk ends with its CRC-32C: those of the coordinates too."""
        return all(field.has_checksum for field in self.fields)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields)

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)


def ensure_group(layout: Layout, stage: str, program: str, spec: TraceSpec) -> Path:
    """The trace group of a program, made if it is not there. Safe to call from any number of workers at once.

    A group that has lost its own metadata and not its chunks gets back the files that it lacks.
    """
    group = layout.trace_group(stage, program)
    if (group / METADATA).exists():
        return group
    ensure_parents(layout, stage)
    temporary = temporary_name(group)
    files = group_files(spec)
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for folder, _, names in os.walk(temporary):
            for name in names:
                descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        with contextlib.suppress(OSError):  # somebody else was first, or its chunks are there already
            os.rename(temporary, group)
        for name, data in files.items():
            if not (group / name).exists():
                publish_bytes(group / name, data)
        sync_folder(group.parent)
    except OSError as error:
        raise storage_error(error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return group


def ensure_parents(layout: Layout, stage: str) -> None:
    """The groups above those of the programs of a stage."""
    for parent in (layout.traces, layout.traces / stage):
        if not (parent / METADATA).exists():
            publish_bytes(parent / METADATA, dumps_pretty(group_metadata({})), durable=False)


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
    return _closed(blosc.compress(data, b"lz4", 1, blosc.SHUFFLE), field.has_checksum)


def _closed(data: bytes, has_checksum: bool) -> bytes:
    """A chunk with its checksum, where it has one."""
    return data + google_crc32c.value(data).to_bytes(CHECKSUM_BYTES, "little") if has_checksum else data


def fault_of_chunk(data: bytes, has_checksum: bool) -> str | None:
    """What is wrong with the bytes of a chunk by the length in its header and by its checksum; decoders do not look."""
    body = data[:-CHECKSUM_BYTES] if has_checksum else data
    expected = size_in(body)
    if expected != len(body):
        stated = "says nothing" if expected is None else f"says {expected + len(data) - len(body)}"
        return f"{len(data)} bytes, its header {stated}"
    is_right = not has_checksum or data == _closed(body, True)
    return None if is_right else "its checksum is that of something else"


def size_in(header: bytes) -> int | None:
    """The length of a chunk that its first `BLOSC_HEADER` bytes state; None where there are fewer."""
    return int.from_bytes(header[12:BLOSC_HEADER], "little") if len(header) >= BLOSC_HEADER else None


def decode_chunk(field: Field, data: bytes) -> np.ndarray:
    """The values of one chunk, padding included: the inverse of `encode_chunk`.

    Raises:
        ValueError, RuntimeError: it is not a chunk of this field, or not all of one, which decoders do not notice.
    """
    from numcodecs import blosc

    fault = fault_of_chunk(data, field.has_checksum)
    if fault is not None:
        raise ValueError(fault)
    body = data[:-CHECKSUM_BYTES] if field.has_checksum else data
    values = np.frombuffer(blosc.decompress(body), np.dtype(_DTYPES[field.dtype]))
    return values.reshape((field.run_chunk, *field.chunk))


def write_chunks(group: Path, spec: TraceSpec, items: Iterable[tuple[str, int, int, np.ndarray]]) -> int:
    """Publish chunks of (field name, first row, first step, values). Returns the bytes written.

    Rows and steps begin with a chunk and end with one, or with the block and the array. Of what is handed over together
    a chunk is left out where none of the arrays holds more than the fill value in its runs and steps: that is how Zarr
    says "nothing here". Where one does, all are written, and what is written once always is, so that a chunk that is
    missing can be told from one that never was.
    """
    own = [(spec.field(name), row, step, values) for name, row, step, values in items if values.size]
    held: dict[tuple[int, int, tuple[int, ...]], np.ndarray] = {}
    for field, row, step, values in own:
        if not field.once:
            place = (row, step, values.shape[:2])
            held[place] = held.get(place, False) | _is_held(field, values)
    written, size, files = 0, 0, []
    for field, row, step, values in own:
        mask = np.True_ if field.once else held[row, step, values.shape[:2]]
        masks = cut(np.broadcast_to(mask, values.shape[:2]), row, step, field.run_chunk, field.chunk[:1])
        for (row_chunk, step_chunk, chunk), (_, _, is_held) in zip(
            cut(values, row, step, field.run_chunk, field.chunk), masks, strict=True
        ):
            if is_held.any():
                files.append((chunk_path(group, field, row_chunk, step_chunk), encode_chunk(field, chunk)))
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


def _is_held(field: Field, values: np.ndarray) -> np.ndarray:
    """At which runs and steps values are more than the fill value: (runs, steps)."""
    nothing = np.isnan(values) if field.dtype.startswith("float") else values == field.fill
    return np.logical_not(np.all(nothing, axis=tuple(range(2, values.ndim))))


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
    data = blosc.compress(np.ascontiguousarray(values, _DTYPES[kind]), b"lz4", 1, blosc.SHUFFLE)
    return metadata, _closed(data, has_checksum)
