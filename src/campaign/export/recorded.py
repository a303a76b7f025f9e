"""What a finished run has left: its record, what repeats it, and its arrays, which are read when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from campaign.analysis.handle import Handle
from campaign.analysis.select import Run
from campaign.analysis.traces import chunks, read_trace
from campaign.space.index_map import IndexMap
from campaign.store import plan
from campaign.store.checksum import seal
from campaign.store.claim import read_identity
from campaign.store.events import read_events
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import read_json
from campaign.store.run_files import Pieces


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedRun:
    """A finished run.

    Attributes:
        record: its summary.
        meta: as the layout "directories" has it.
        program: what its program reports; empty where the program never ran.
        entry: the program's entry in the header of the plan.
        arrays: name → `xarray.DataArray` or `numpy.ndarray`.
        git: commit of the manifest's folder when the run was submitted, where that is known.
    """

    record: Mapping[str, Any]
    meta: Mapping[str, Any]
    program: Mapping[str, Any]
    entry: Mapping[str, Any]
    arrays: Mapping[str, Any]
    git: Mapping[str, Any] | None = None

    @cached_property
    def index_map(self) -> IndexMap | None:
        """What the columns of theta are; None where no program said so."""
        known = self.program.get("index_map")
        return None if known is None else IndexMap.parse(known["entries"])

    @property
    def free(self) -> tuple[str, ...]:
        """The parameters that move, in the order of the columns of theta."""
        return tuple(p["name"] for p in self.program.get("parameters", ()) if p.get("free", True))

    @property
    def theta_map(self) -> Mapping[str, Any] | None:
        """The options of the map that the engine worked in; None where its coordinates are those of theta."""
        return (self.meta.get("engine") or {}).get("theta_map")

    def coordinates(self, n: int) -> tuple[str, ...]:
        """Names of the n coordinates that the engine moved: parameters, or the modes of its map."""
        return self.free if self.theta_map is None else tuple(f"z[{i}]" for i in range(n))

    @property
    def units(self) -> dict[str, str]:
        """Units of parameters and derived numbers, by dotted name."""
        own = {f"theta.{p['name']}": p.get("unit", "") for p in self.program.get("parameters", ())}
        return own | {f"derived.{name}": unit for name, unit in self.program.get("derived", {}).items()}

    @cached_property
    def steps(self) -> np.ndarray:
        """Numbers of the recorded steps (T,)."""
        if "step" in self.arrays:
            return np.asarray(self.arrays["step"])
        return np.arange(max((len(self.arrays[name]) for name in ("loss", "theta") if name in self.arrays), default=0))

    def over_steps(self, name: str, n_axes: int = 0) -> np.ndarray | None:
        """An array over the recorded steps with so many further axes, as doubles; None where there is none such."""
        array = self.arrays.get(name)
        if array is None or array.ndim != 1 + n_axes or array.shape[0] != len(self.steps):
            return None
        return np.asarray(array, np.float64)

    def theta(self, values: Mapping[str, Any]) -> np.ndarray:
        """The free parameters out of values by name, NaN where there is none."""
        return np.array([np.nan if values.get(name) is None else values[name] for name in self.free], np.float64)


def recorded(handle: Handle, run: Run, record: Mapping[str, Any], *, again: bool) -> RecordedRun:
    """What a run has left; with `again` its arrays are those of `campaign.replay`.

    Raises:
        DataFileError: an input file of the run is missing or not the one that was planned.
    """
    layout = handle.layout
    path = layout.program(run.stage, run.program)
    program = read_json(path) if path.exists() else {}
    entry = plan.programs(layout, run.stage).get(run.program, {})
    if again:
        from campaign.fitting import replay  # imports JAX

        fit = replay(layout.root, run.run_id)
        names = np.array([p["name"] for p in program.get("parameters", ()) if p.get("free", True)])
        arrays: dict[str, Any] = {**fit.trace, **fit.arrays, "parameter": names, "run_id": np.array(run.run_id)}
    elif layout.trace_group(run.stage, run.program).is_dir():
        dataset = read_trace(layout, run)
        arrays = {str(name): dataset[name] for name in dataset.variables}
    else:
        arrays = {}
    return RecordedRun(
        record=record,
        meta=_meta(layout, run, program),
        program=program,
        entry=entry,
        arrays=arrays,
        git=_revision(layout, run),
    )


def _revision(layout: Layout, run: Run) -> Mapping[str, Any] | None:
    """What the submission said of the part of the plan that the run belongs to."""
    for event in read_events(layout):
        if event["event"] == "submitted" and event["stages"].get(run.stage, {}).get("part") == run.part:
            return event.get("git")
    return None


def pieces(array: Any) -> Pieces:
    """An array for a file: read from the campaign's chunks as it is written."""
    if isinstance(array, np.ndarray) or array.dtype.kind in "OT":
        return Pieces.of(array.astype(object).astype(str) if array.dtype.kind in "OT" else array)
    return Pieces(shape=array.shape, dtype=array.dtype, pieces=lambda: (piece.values for piece in chunks(array)))


def _meta(layout: Layout, run: Run, program: Mapping[str, Any]) -> dict[str, Any]:
    """The run's meta.json, as its worker wrote it or rebuilt from the plan."""
    if layout.meta(run.run_id).exists():
        return read_json(layout.meta(run.run_id))
    from campaign.work.planned_block import load_block  # imports JAX
    from campaign.work.starts import start_of

    block = load_block(layout, BlockTask(run.stage, run.part, run.block), read_identity(layout).id)
    start = start_of(block, run.run_id)
    return seal(block.only(run.run_id).metas(program.get("versions", {}), {0: start})[0])
