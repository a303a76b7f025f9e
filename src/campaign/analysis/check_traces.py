"""Traces against summaries: a finished step has its numbers on disk.

Where arrays hold nothing but the fill value no chunk is written, so a chunk that is not there says nothing by itself.
It is damage where a run that went well must have numbers: in `loss` and `theta`, and in what is written together with
them or once at the end. Earlier versions left out each array that held nothing; there an array of which a block has no
chunk is missed where other blocks of the program have theirs. How an array is cut into chunks its program declares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from campaign.analysis.check_summaries import CheckedBlock
from campaign.analysis.finding import REDO, Finding
from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.trace_codec import BLOSC_HEADER, CHECKSUM_BYTES, fault_of_chunk, size_in
from campaign.store.trace_groups import declared_field
from campaign.store.trace_metadata import stored_field
from campaign.store.trace_spec import Field
from campaign.store.traces import chunk_path

MISSING = "missing, though runs of this block are finished"
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
        self._described: dict[Path, bool] = {}
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
        for name in recorded:
            field = declared_field(name, block.declared or {}, int(block.entry["block_size"]))
            for place, message in self._check_array(group, field, block, is_ok, n_steps, is_together):
                where = place.relative_to(self._layout.root).as_posix()
                paths = (where, summaries) if place.is_file() else (summaries,)
                yield Finding(kind="trace", place=where, message=message, repair=REDO, paths=paths)

    def _check_array(
        self, group: Path, field: Field, block: CheckedBlock, is_ok: np.ndarray, n_steps: np.ndarray, is_together: bool
    ) -> Iterator[tuple[Path, str]]:
        """(place, message) for one array, chunk of runs by chunk of runs."""
        folder, has_steps = group / field.name, field.dims[:1] == ("step",)
        must_be_there = (has_steps and field.name in ALWAYS_THERE) or (is_together and (has_steps or field.once))
        firsts: list[Path] = []  # chunks that runs of this block have, if their array is not nothing but fill values
        for begin in range(0, len(is_ok), field.run_chunk):
            runs = slice(begin, min(begin + field.run_chunk, len(is_ok)))
            if is_ok[runs].any() and (n_steps[runs].any() or not has_steps):
                firsts.append(chunk_path(group, field, (block.first_row + begin) // field.run_chunk, 0))
                yield from self._check_runs(group, field, block, runs, n_steps[runs], must_be_there)
        is_lost = not must_be_there and firsts and not any(path.exists() for path in firsts)
        if is_lost and block.trace.runs == "all" and self._others_have(folder, firsts):
            yield firsts[0], MISSING

    def _check_runs(
        self, group: Path, field: Field, block: CheckedBlock, runs: slice, n_steps: np.ndarray, must_be_there: bool
    ) -> Iterator[tuple[Path, str]]:
        """(place, message) for some runs of the block that share chunks, chunk of steps by chunk of steps."""
        has_steps, length = field.dims[:1] == ("step",), max((1, *field.chunk[:1]))
        has_numbers = has_steps and field.name in ALWAYS_THERE
        row_chunk = (block.first_row + runs.start) // field.run_chunk
        for chunk in range(-(-int(n_steps.max() if has_steps else (*field.shape, 1)[0]) // length)):
            path = chunk_path(group, field, row_chunk, chunk)
            if not path.exists():
                if must_be_there:
                    yield path, MISSING
                continue
            if not self._is_described(group, field):
                continue
            message = self._fault(path, field.has_checksum, is_whole=has_numbers or self._is_thorough)
            if message is None and has_numbers:
                values = self._read(group / field.name, block, runs, chunk * length, length)
                message = _hole(values, n_steps - chunk * length, chunk * length, block, runs.start)
            if message is not None:
                yield path, message

    def _is_described(self, group: Path, field: Field) -> bool:
        """Whether an array's metadata are what its program declares. Where they are not, `check_groups` tells it, and
        the numbers are checked when they are again."""
        folder = group / field.name
        if folder not in self._described:
            try:
                found = stored_field(folder)
            except Damage:
                found = None
            self._described[folder] = found is not None and replace(found[1], unit=field.unit, once=field.once) == field
        return self._described[folder]

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

    def _read(self, folder: Path, block: CheckedBlock, runs: slice, begin: int, length: int) -> np.ndarray | str:
        """Some of the block's runs in one chunk of steps; a text when they cannot be had."""
        import zarr

        rows = slice(block.first_row + runs.start, block.first_row + runs.stop)
        try:
            if folder not in self._arrays:
                self._arrays[folder] = zarr.open_array(store=folder, mode="r")
            return np.asarray(self._arrays[folder][rows, begin : begin + length])
        except Exception as error:  # codecs raise whatever they like
            return f"cannot be decoded: {type(error).__name__}: {error}"

    def _others_have(self, folder: Path, own: Sequence[Path]) -> bool:
        """Whether other blocks of the program have chunks of this array; `own` are first chunks of this one."""
        if folder not in self._row_chunks:
            self._row_chunks[folder] = frozenset(p.parts[-1] for p in _chunk_rows(folder / "c"))
        return bool(self._row_chunks[folder] - {path.relative_to(folder / "c").parts[0] for path in own})


def _chunk_rows(chunks: Path) -> Iterator[Path]:
    """Row chunks that hold at least one chunk file."""
    for entry in chunks.iterdir() if chunks.is_dir() else []:
        if entry.is_file() or any(p.is_file() for p in entry.rglob("*")):
            yield entry


def _hole(values: np.ndarray | str, n_left: np.ndarray, begin: int, block: CheckedBlock, first: int) -> str | None:
    """Which runs, the block's from `first` on, have no numbers before their last step, in one chunk of steps."""
    if isinstance(values, str):
        return values
    missing = np.isnan(values.reshape(*values.shape[:2], -1)).any(axis=2)
    missing &= np.arange(values.shape[1]) < n_left[:, None]
    rows = np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return None
    run_id = block.results.column("run_id")[first + int(rows[0])].as_py()
    step = begin + int(np.argmax(missing[rows[0]]))
    return f"no numbers at finished steps of {len(rows)} runs, the first at step {step} of run {run_id}"
