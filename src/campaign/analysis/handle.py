"""A campaign directory, opened: a value that knows where things are, and asks the functions that know the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.analysis.select import Condition, Run, find, is_double, select
from campaign.analysis.status import Status, status
from campaign.analysis.traces import chunks, field_of, read_trace
from campaign.errors import Unavailable, UnknownName
from campaign.expression import Expression
from campaign.reduce.planned import planned_stages, stage_names
from campaign.reduce.reducer import is_current, reduce
from campaign.store.layout import Layout
from campaign.store.waiting import being_planned, not_begun

if TYPE_CHECKING:
    import pandas
    import xarray

    from campaign.analysis.chain import Chain
    from campaign.analysis.evidence_table import RunEvidence


@dataclass(frozen=True, slots=True)
class Handle:
    """What `campaign.open` gives.

    Attributes:
        layout: the paths of the campaign.
    """

    layout: Layout

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the planned stages, in order."""
        return tuple(stage_names(self.layout))

    def status(self) -> Status:
        return status(self.layout)

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The summary table, brought up to date with what is published."""
        refresh(self.layout)
        return pq.read_table(self.layout.table, columns=None if columns is None else list(columns))

    def table(self) -> pandas.DataFrame:
        """The summary table: one row a planned run; units under ``attrs["units"]``."""
        return to_pandas(self.arrow())

    def runs(
        self, *, where: str | Condition | None = None, state: str = "all", ids: Sequence[str] = ()
    ) -> pandas.DataFrame:
        """The rows of the table that fit: a condition such as ``'loss < 3 and problem.model == "lcdm"'``, a state
        (all, ok, failed, done, pending), beginnings of run ids.

        Raises:
            UnknownName: a column or state that does not exist.
            InvalidValue: the condition is not in the grammar.
        """
        condition = Expression.parse(where) if isinstance(where, str) else where
        return to_pandas(select(self.arrow(), state=state, where=condition, ids=ids))

    def run(self, selector: str) -> Run:
        """Where a run is kept, by the beginning of its id, or "last"."""
        return find(self.layout, selector)

    def trace(self, selector: str) -> xarray.Dataset:
        """The recorded arrays of one run, by the beginning of its id, or "last". They are read when they are used:
        ``trace["theta"][1000:2000]`` reads these steps, ``numpy.asarray(trace["theta"])`` all.
        """
        return read_trace(self.layout, find(self.layout, selector))

    def chain(self, selector: str) -> Chain:
        """The draws of a sampler's run, with diagnostics, pictures and exports; read when they are used.

        Raises:
            UnknownName: the run is not finished, or nothing was recorded for it.
            InvalidValue: it is no sampler's.
        """
        from campaign.analysis.run_chain import chain_of  # with SciPy, which no other reading needs

        return chain_of(self.layout, find(self.layout, selector))

    def weighted_samples(self, selector: str) -> pandas.DataFrame:
        """All points of a run of nested sampling with their weights: see `campaign.analysis.nested`."""
        from campaign.analysis.nested import weighted_samples

        return weighted_samples(self.trace(selector))

    def evidence(self, stage: str | None = None) -> list[RunEvidence]:
        """ln Z of the campaign's models, the best first, as ``campaign evidence`` prints it."""
        from campaign.analysis.evidence_table import evidence_table

        return evidence_table(self, stage)

    def chunks(self, selector: str, field: str) -> Iterator[xarray.DataArray]:
        """One recorded array of one run, a few MB of steps at a time, for chains larger than memory.

        Raises:
            UnknownName: the run has no such array.
        """
        return chunks(field_of(self.trace(selector), field))


def open_campaign(directory: str | Path) -> Handle:
    """Open a campaign directory for reading.

    Raises:
        UnknownName: there is not a campaign there.
        Incomplete: there will be one: its driver is a job that has not begun, or is making the plan.
        Damage: there was one, whose plan is gone.
    """
    layout = Layout(Path(directory).expanduser())
    if not stage_names(layout):
        planned_stages(layout)  # what is there is damaged, or nothing is there
        raise (
            not_begun(layout)
            or being_planned(layout)
            or UnknownName(f"{layout.root} is not a campaign", hint="`campaign submit MANIFEST` makes one")
        )
    return Handle(layout)


def refresh(layout: Layout) -> None:
    """Reduce, unless the table holds everything already; where one may only read, the table is taken as it is."""
    if not is_current(layout) or not _is_readable(layout.table):
        try:
            reduce(layout)
        except Unavailable:
            if not layout.table.exists():
                raise


def _is_readable(table: Path) -> bool:
    """Whether a table has its footer: one that is cut or empty is made again."""
    try:
        pq.read_metadata(table)
    except (OSError, pa.ArrowException):
        return False
    return True


def to_pandas(table: pa.Table) -> pandas.DataFrame:
    """A data frame with the units of the columns under ``attrs["units"]``.

    pandas makes doubles of integers where some are missing. Those that are not doubles stay integers, NaN between them.
    """
    import pandas

    frame = table.to_pandas()
    for name in table.column_names:
        column = table.column(name)
        if column.null_count and pa.types.is_integer(column.type) and not is_double(column):
            exact = [math.nan if value is None else value for value in column.to_pylist()]
            frame[name] = pandas.Series(exact, index=frame.index, dtype=object)
    frame.attrs["units"] = {f.name: f.metadata[b"unit"].decode() for f in table.schema if b"unit" in (f.metadata or {})}
    return frame
