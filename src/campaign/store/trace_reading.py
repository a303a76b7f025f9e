"""Steps of some runs of a program, read chunk by chunk without Zarr: what a continued block begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.errors import Damage
from campaign.store.records import read_json
from campaign.store.traces import Field, TraceSpec, chunk_path, decode_chunk, has_checksums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedSteps:
    """The arrays over steps of some rows of a trace group.

    Attributes:
        folder: the group.
        specs: array → its description; only arrays whose first axis after `run` is "step".
        rows: rows of the group.
    """

    folder: Path
    specs: dict[str, TraceSpec]
    rows: np.ndarray

    @classmethod
    def open(cls, folder: Path, names: list[str], rows: np.ndarray) -> RecordedSteps:
        """Those of the named arrays that the group has; none where there is no group."""
        paths = {name: folder / name / "zarr.json" for name in names}
        found = {name: _described(name, read_json(path)) for name, path in paths.items() if path.exists()}
        specs = {name: spec for name, spec in found.items() if spec.fields[0].dims[:1] == ("step",)}
        return cls(folder=folder, specs=specs, rows=rows)

    def is_complete(self, name: str, n_steps: int) -> bool:
        """Whether the chunks of an array that hold the first `n_steps` steps are there."""
        return all(path.exists() for _, _, path in self._chunks(name, 0, n_steps))

    def read(self, name: str, first: int, last: int) -> np.ndarray:
        """Steps `first` up to `last`: (rows, last − first, …), fill values where nothing was recorded.

        Raises:
            Damage: a chunk cannot be read.
        """
        spec = self.specs[name]
        field = spec.fields[0]
        out = np.full((len(self.rows), last - first, *field.shape[1:]), field.fill, field.dtype)
        for own, start, path in self._chunks(name, first, last):
            try:
                values = decode_chunk(spec, field, path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError, ValueError) as error:
                raise Damage(f"{path} cannot be read: {error}", hint="run `campaign verify`") from error
            low, high = max(first, start), min(last, start + field.chunk[0])
            rows = self.rows[own] % spec.block_size
            out[own, low - first : high - first] = values[rows, low - start : high - start]
        return out

    def _chunks(self, name: str, first: int, last: int) -> Iterator[tuple[np.ndarray, int, Path]]:
        """(positions in `rows`, first step, file) of each chunk that holds some of these steps."""
        spec = self.specs[name]
        field = spec.fields[0]
        row_chunks = self.rows // spec.block_size
        for row_chunk in np.unique(row_chunks).tolist():
            own = np.flatnonzero(row_chunks == row_chunk)
            for chunk in range(first // field.chunk[0], -(-last // field.chunk[0])):
                yield own, chunk * field.chunk[0], chunk_path(self.folder, field, row_chunk, chunk)


def _described(name: str, metadata: dict) -> TraceSpec:
    """An array's description from its metadata."""
    shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
    field = Field(
        name=name,
        dims=tuple(metadata["dimension_names"][1:]),
        shape=tuple(shape[1:]),
        chunk=tuple(chunk[1:]),
        dtype=metadata["data_type"],
    )
    return TraceSpec(
        n_rows=shape[0],
        block_size=chunk[0],
        fields=(field,),
        coordinates={},
        attributes={},
        has_checksums=has_checksums(metadata),
    )
