"""Traces against summaries: a finished step has its numbers on disk.

Where arrays hold nothing but the fill value no chunk is written, so a chunk that is not there says nothing by itself.
It is damage where a run that went well must have numbers: in `loss` and `theta`, and in what is written together with
them or once at the end. Earlier versions left out each array that held nothing; there a chunk of another array is
missed where other blocks of the program have theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from campaign.analysis.check_summaries import CheckedBlock
from campaign.analysis.finding import REDO, Finding
from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.traces import BLOSC_HEADER, CHECKSUM_BYTES, fault_of_chunk, has_checksums, size_in

ALWAYS_THERE = ("loss", "theta")  # finite at every step of a run that went well


class TraceCheck:
    """Checks the traces of one block after the other; remembers what belongs to a whole program.

    Args:
        layout: of the campaign.
        is_thorough: read all arrays; else `loss` and `theta` only, and of the others the lengths.
    """

    def __init__(self, layout: Layout, *, is_thorough: bool = True) -> None:
        self._layout = layout
        self._is_thorough = is_thorough
        self._arrays: dict[Path, Any] = {}
        self._row_chunks: dict[Path, frozenset[str]] = {}

    def check(self, block: CheckedBlock) -> Iterator[Finding]:
        """Missing and damaged chunks; holes in finished steps. Groups are there and whole: see `check_groups`."""
        recorded = (block.declared or {}).get("trace") or {}
        is_ok = pc.equal(block.results.column("status"), "ok").to_numpy(zero_copy_only=False)
        if block.trace.is_nothing or not recorded or not is_ok.any():
            return
        group = self._layout.trace_group(block.stage, block.program)
        summaries = block.path(self._layout)
        n_steps = np.where(is_ok, pc.fill_null(block.results.column("n_steps"), 0).to_numpy(), 0)
        n_steps = -(-n_steps // block.trace.every)  # recorded steps
        if block.trace.runs != "all":  # of these runs nothing that has steps is sure to be there, but for the first
            is_first = block.trace.runs == "first" and block.first_row == 0
            n_steps = np.where((np.arange(len(n_steps)) == 0) & is_first, n_steps, 0)
        is_together = bool((block.declared or {}).get("has_checksums")) and bool(recorded.keys() & set(ALWAYS_THERE))
        for name, field in recorded.items():
            for place, message in self._check_field(group / name, field, block, n_steps, is_together):
                where = place.relative_to(self._layout.root).as_posix()
                paths = (where, summaries) if place.is_file() else (summaries,)
                yield Finding(kind="trace", place=where, message=message, repair=REDO, paths=paths)

    def _check_field(
        self, folder: Path, field: Mapping[str, Any], block: CheckedBlock, n_steps: np.ndarray, is_together: bool
    ) -> Iterator[tuple[Path, str]]:
        """(place, message) for one array, chunk of steps by chunk of steps."""
        try:
            is_checked = has_checksums(read_json(folder / "zarr.json"))
        except (OSError, Damage, KeyError, TypeError, AttributeError):
            is_checked = None  # told by `check_groups`; the numbers are checked when that is whole again
        dims = field["dims"]
        has_steps = bool(dims) and dims[0] == "step"
        length = int(field["chunk"][0]) if has_steps else 0
        must_be_there = has_steps and folder.name in ALWAYS_THERE
        row_chunk = str(block.first_row // int(block.entry["block_size"]))
        for chunk in range(-(-int(n_steps.max()) // length) if has_steps else 1):
            index = [str(chunk), *["0"] * (len(dims) - 1)] if dims else []
            path = folder.joinpath("c", row_chunk, *index)
            if not path.exists():
                is_usual = block.trace.runs == "all" and chunk == 0 and self._others_have(folder, row_chunk)
                if must_be_there or is_usual or (is_together and (has_steps or field.get("once"))):
                    yield path, "missing, though runs of this block are finished"
                continue
            if is_checked is None:
                continue
            message = self._fault(path, is_checked, is_whole=must_be_there or self._is_thorough)
            if message is None and must_be_there:
                values = self._read(folder, block, len(n_steps), chunk * length, length)
                message = _hole(values, n_steps - chunk * length, chunk * length, block)
            if message is not None:
                yield path, message

    def _fault(self, path: Path, is_checked: bool, *, is_whole: bool) -> str | None:
        """What is wrong with the bytes of a chunk; of one that is not read whole its length alone."""
        if is_whole:
            fault = fault_of_chunk(path.read_bytes(), is_checked)
        else:
            with path.open("rb") as file:
                expected, size = size_in(file.read(BLOSC_HEADER)), path.stat().st_size
            stated = None if expected is None else expected + CHECKSUM_BYTES * is_checked
            fault = None if stated == size else f"{size} bytes, its header says {stated}"
        return fault and f"cannot be decoded: {fault}"

    def _read(self, folder: Path, block: CheckedBlock, n_rows: int, begin: int, length: int) -> np.ndarray | str:
        """The block's rows of one chunk of steps; a text when they cannot be had."""
        import zarr

        rows, steps = slice(block.first_row, block.first_row + n_rows), slice(begin, begin + length)
        try:
            if folder not in self._arrays:
                self._arrays[folder] = zarr.open_array(store=folder, mode="r")
            return np.asarray(self._arrays[folder][rows, steps])
        except Exception as error:  # codecs raise whatever they like
            return f"cannot be decoded: {type(error).__name__}: {error}"

    def _others_have(self, folder: Path, row_chunk: str) -> bool:
        """Whether another block of the program has chunks of this array."""
        if folder not in self._row_chunks:
            self._row_chunks[folder] = frozenset(p.parts[-1] for p in _chunk_rows(folder / "c"))
        return bool(self._row_chunks[folder] - {row_chunk})


def _chunk_rows(chunks: Path) -> Iterator[Path]:
    """Row chunks that hold at least one chunk file."""
    for entry in chunks.iterdir() if chunks.is_dir() else []:
        if entry.is_file() or any(p.is_file() for p in entry.rglob("*")):
            yield entry


def _hole(values: np.ndarray | str, n_left: np.ndarray, begin: int, block: CheckedBlock) -> str | None:
    """Which runs have no numbers before their last step, in one chunk of steps."""
    if isinstance(values, str):
        return values
    missing = np.isnan(values.reshape(*values.shape[:2], -1)).any(axis=2)
    missing &= np.arange(values.shape[1]) < n_left[:, None]
    rows = np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return None
    run_id = block.results.column("run_id")[int(rows[0])].as_py()
    step = begin + int(np.argmax(missing[rows[0]]))
    return f"no numbers at finished steps of {len(rows)} runs, the first at step {step} of run {run_id}"
