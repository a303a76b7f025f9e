"""What panels draw from: one run, or all runs of a stage. Values that read the campaign's files when asked."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.analysis.handle import Handle
from campaign.analysis.select import Run
from campaign.analysis.traces import chunks, open_traces, read_trace
from campaign.report.program import Program, read_program
from campaign.store.merit import by_merit

if TYPE_CHECKING:
    import pandas
    import xarray

MAX_DRAWN = 256 << 20  # bytes of one array that are read for a picture
GROUPING = ("problem.", "engine.", "tag.")  # axes that say which data or method a run is of; starts are repetitions


@dataclass(frozen=True, eq=False)
class StageSource:
    """All runs of a stage.

    Attributes:
        rows: of the summary table; ``attrs["units"]`` has the units of its columns.
        programs: name → description, of those that have run.
        axes: the axes of the stage that differ between its runs, in the order of the table.
    """

    handle: Handle
    stage: str
    rows: pandas.DataFrame
    programs: Mapping[str, Program]
    axes: tuple[str, ...]

    @cached_property
    def best(self) -> pandas.DataFrame:
        """The run of lowest loss for each combination of the axes of problem, engine and tags, of those that are ok,
        degenerate ones last."""
        good = self.good.iloc[by_merit(self.good["outcome"], self.good["loss"])]
        if not self.grouping:
            return good.head(1)
        return good.drop_duplicates(list(self.grouping)).sort_index()

    @cached_property
    def good(self) -> pandas.DataFrame:
        """The runs that are ok and have a loss."""
        return where(self.rows, (self.rows["status"] == "ok") & self.rows["loss"].notna())

    @property
    def grouping(self) -> tuple[str, ...]:
        """The axes that say which data or method a run is of."""
        return tuple(axis for axis in self.axes if axis.startswith(GROUPING))

    @cached_property
    def estimated(self) -> tuple[str, ...]:
        """The parameters for which some run has an error."""
        names = [name.removeprefix("stderr.") for name in self.rows.columns if name.startswith("stderr.")]
        return tuple(name for name in names if bool(self.rows[f"stderr.{name}"].notna().any()))

    @cached_property
    def numerical_axis(self) -> str | None:
        """The axis of problem, engine or tags with the most different numbers; None without one."""
        rows = self.best
        found = {a: len(rows[a].dropna().drop_duplicates()) for a in self.grouping if rows[a].dtype.kind in "if"}
        return max((a for a, n in found.items() if n > 1), key=lambda a: found[a], default=None)

    def unit(self, column: str) -> str:
        return self.rows.attrs.get("units", {}).get(column, "")

    def arrays(self, name: str, rows: pandas.DataFrame) -> list[np.ndarray]:
        """One recorded array for each of some runs of this stage, cut after their last recorded step; without a step
        dimension, whole. Empty where a run has none."""
        found: dict[int, np.ndarray] = {}
        for program, own in rows.groupby("program", sort=False):
            if name not in self.programs[str(program)].arrays:
                continue
            with open_traces(self.handle.layout, self.stage, str(program)) as dataset:
                array = dataset[name].isel(run=own["row"].to_numpy()).load()
            has_steps = array.dims[1:2] == ("step",)
            steps = array["step"].to_numpy() if "step" in array.coords else np.arange(array.sizes.get("step", 0))
            for i, (label, n) in enumerate(zip(own.index, own["n_steps"].fillna(0), strict=True)):
                values = array.values[i]
                found[label] = values[steps < n] if has_steps else values
        return [found.get(label, np.zeros(0)) for label in rows.index]

    def missing(self, needs: Iterable[str]) -> tuple[str, ...]:
        """Those of some needs that this stage does not fulfil."""
        return tuple(need for need in needs if not self._has(need))

    def _has(self, need: str) -> bool:
        if need.startswith("axis:"):
            return bool(self.grouping) if need == "axis:any" else self.numerical_axis is not None
        return _has(need, self.programs.values(), self.rows)


@dataclass(frozen=True, eq=False)
class RunSource:
    """One finished run.

    Attributes:
        row: of the summary table: column → value; what is null is left out.
        units: of those columns.
    """

    handle: Handle
    run: Run
    row: Mapping[str, Any]
    units: Mapping[str, str]
    program: Program

    @cached_property
    def trace(self) -> xarray.Dataset:
        """Its arrays, cut after the last step, lazily."""
        return read_trace(self.handle.layout, self.run)

    @cached_property
    def stride(self) -> int:
        """Every how many recorded steps are drawn of a long chain: so many that no array takes more than 256 MiB."""
        return max(1, -(-max((array.nbytes for array in self.trace.values()), default=0) // MAX_DRAWN))

    @cached_property
    def drawn(self) -> xarray.Dataset:
        """The trace for pictures: of each array that has steps every `stride`-th one."""
        return self.trace if self.stride == 1 else self.trace.isel(step=slice(None, None, self.stride))

    @cached_property
    def steps(self) -> np.ndarray:
        """Numbers of the steps that are recorded, from 0 on."""
        return np.asarray(self.trace["step"]) if "step" in self.trace.dims else np.zeros(0, int)

    @property
    def n_burn_in(self) -> int:
        """How many of the recorded steps the engine leaves out of the posterior; 0 where it has no burn-in."""
        burn_in, thin = self.program.engine.get("burn_in", 0), self.program.engine.get("thin", 1)
        steps = burn_in * self.program.engine.get("steps", 0) if burn_in < 1 else burn_in
        return int(np.sum(self.steps < int(steps) // thin))

    def options(self, kind: str) -> dict[str, Any]:
        """Name and options of the run's "problem" or "engine", with what its axes set."""
        base = getattr(self.program, kind)
        own = {name: self.row.get(f"{kind}.{name}", value) for name, value in base.items() if _is_number(value)}
        return {**base, **own}  # an option that is not a number is the same in all runs of a program

    def missing(self, needs: Iterable[str]) -> tuple[str, ...]:
        """Those of some needs that this run does not fulfil."""
        return tuple(need for need in needs if not _has(need, (self.program,), self.row) or self._is_unrecorded(need))

    def _is_unrecorded(self, need: str) -> bool:
        """Whether a need names an array of steps that holds no number: the stage records other runs only."""
        name = need.removeprefix("trace.").partition("[")[0]
        if not need.startswith("trace.") or self.program.arrays[name][:1] != ("step",):
            return False
        return not any(np.isfinite(np.asarray(piece, np.float64)).any() for piece in chunks(self.trace[name]))


def stage_source(handle: Handle, table: pandas.DataFrame, stage: str) -> StageSource:
    """A stage of a campaign; `table` is the summary table of all stages."""
    rows = where(table, table["stage"] == stage)
    rows.attrs.update(table.attrs)
    found = {str(name): read_program(handle.layout, stage, str(name)) for name in rows["program"].dropna().unique()}
    axes = (*GROUPING, "start.")
    varied = [c for c in rows.columns if c.startswith(axes) and len(rows[c].drop_duplicates()) > 1]
    return StageSource(handle, stage, rows, {k: p for k, p in found.items() if p is not None}, tuple(varied))


def where(rows: pandas.DataFrame, mask: Any) -> pandas.DataFrame:
    """The rows where a mask is true."""
    return rows.take(np.flatnonzero(mask))


def run_source(stage: StageSource, run: Run) -> RunSource | None:
    """A run of a stage; None before it is finished."""
    rows = where(stage.rows, stage.rows["run_id"] == run.run_id)
    program = stage.programs.get(run.program)
    if rows.empty or program is None or not run.is_done:
        return None
    row = {str(name): value for name, value in rows.iloc[0].items() if _is_value(value)}
    return RunSource(stage.handle, run, row, stage.rows.attrs.get("units", {}), program)


def finished_runs(stage: StageSource, rows: pandas.DataFrame) -> list[RunSource]:
    """The runs of some rows of a stage, in their order; those that are not finished are left out."""
    found = []
    for row in rows.to_dict("records"):
        part, block, number, attempt = (int(row[name]) for name in ("part", "block", "row", "attempt"))
        place = Run(
            stage=stage.stage,
            run_id=row["run_id"],
            program=row["program"],
            part=part,
            block=block,
            row=number,
            attempt=attempt,
            is_done=isinstance(row["status"], str),
        )
        found.append(run_source(stage, place))
    return [one for one in found if one is not None]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_value(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _has(need: str, programs: Iterable[Program], columns: Any) -> bool:
    """Whether a need of a panel is fulfilled; see `panels.Panel` for what needs may say."""
    path, equals, pattern = need.partition("=")
    if equals:
        kind, _, option = path.partition(".")
        return any(_fits(getattr(p, kind).get(option), pattern) for p in programs)
    if need.startswith("trace."):
        name, bracket, dims = need.removeprefix("trace.").partition("[")
        exact = tuple(d.strip() for d in dims.rstrip("]").split(",")) if bracket else None
        return any(name in p.arrays and exact in (None, p.arrays[name]) for p in programs)
    found = fnmatch.filter([str(c) for c in columns], need)
    return any(columns[name].notna().any() for name in found) if hasattr(columns, "columns") else bool(found)


def _fits(value: Any, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(str(v), pattern) for v in (value if isinstance(value, list) else [value]))
