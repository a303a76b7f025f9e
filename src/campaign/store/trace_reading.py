"""Steps of some runs of a program, read chunk by chunk without Zarr: what a continued block begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.errors import Damage
from campaign.store.trace_codec import decode_chunk
from campaign.store.trace_metadata import stored_field
from campaign.store.trace_spec import Field
from campaign.store.traces import chunk_path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedSteps:
    """The arrays over steps of some rows of a trace group.

    Attributes:
        folder: the group.
        fields: those whose first axis after `run` is "step", by name.
        rows: rows of the group.
    """

    folder: Path
    fields: dict[str, Field]
    rows: np.ndarray

    @classmethod
    def open(cls, folder: Path, names: list[str], rows: np.ndarray) -> RecordedSteps:
        """Those of the named arrays that the group has; none where there is no group."""
        found = {name: stored_field(folder / name) for name in names}
        fields = {name: own[1] for name, own in found.items() if own and own[1].dims[:1] == ("step",)}
        return cls(folder=folder, fields=fields, rows=rows)

    def is_complete(self, name: str, n_steps: int) -> bool:
        """Whether the chunks of an array that hold the first `n_steps` steps are there."""
        return all(path.exists() for _, _, path in self._chunks(name, 0, n_steps))

    def read(self, name: str, first: int, last: int) -> np.ndarray:
        """Steps `first` up to `last`: (rows, last − first, …), fill values where nothing was recorded.

        Raises:
            Damage: a chunk cannot be read.
        """
        field = self.fields[name]
        out = np.full((len(self.rows), last - first, *field.shape[1:]), field.fill, field.dtype)
        for own, start, path in self._chunks(name, first, last):
            try:
                values = decode_chunk(field, path.read_bytes())
            except FileNotFoundError:
                continue
            except (OSError, RuntimeError, ValueError) as error:
                raise Damage(f"{path} cannot be read: {error}", hint="run `campaign verify`") from error
            low, high = max(first, start), min(last, start + field.chunk[0])
            rows = self.rows[own] % field.run_chunk
            out[own, low - first : high - first] = values[rows, low - start : high - start]
        return out

    def _chunks(self, name: str, first: int, last: int) -> Iterator[tuple[np.ndarray, int, Path]]:
        """(positions in `rows`, first step, file) of each chunk that holds some of these steps."""
        field = self.fields[name]
        row_chunks = self.rows // field.run_chunk
        for row_chunk in np.unique(row_chunks).tolist():
            own = np.flatnonzero(row_chunks == row_chunk)
            for chunk in range(first // field.chunk[0], -(-last // field.chunk[0])):
                yield own, chunk * field.chunk[0], chunk_path(self.folder, field, row_chunk, chunk)
