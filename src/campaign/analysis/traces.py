"""One run's arrays, as xarray reads them: lazily, so that a chain may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from campaign.analysis.select import Run, read_record
from campaign.errors import UnknownName, nearest
from campaign.store.layout import Layout

if TYPE_CHECKING:
    import xarray


def open_traces(layout: Layout, stage: str, program: str) -> xarray.Dataset:
    """All arrays of a program, lazily: dims (run, step, …), NaN (or −1) where a run did not get to.

    Raises:
        UnknownName: nothing was recorded for that program.
    """
    import xarray

    group = layout.trace_group(stage, program)
    if not (group / "zarr.json").exists():
        raise UnknownName(
            f"program `{program}` of stage `{stage}` has no traces",
            hint="they are recorded unless the stage says `trace: false`, from its first block on",
        )
    return xarray.open_zarr(group, consolidated=False, chunks=None)


def read_trace(layout: Layout, run: Run) -> xarray.Dataset:
    """The arrays of one run, lazily: dims (step, …), cut after its last step; units as attributes.

    A slice reads the chunks that hold it, `.values` the whole array, once. Where not each step is recorded, the
    coordinate `step` of the group says which are.

    Raises:
        UnknownName: the run is not finished, or nothing was recorded for it.
    """
    record = read_record(layout, run)
    if record is None:
        raise UnknownName(f"run {run.run_id} is not finished", hint="`campaign status` says what is left")
    own = open_traces(layout, run.stage, run.program).isel(run=run.row)
    if "step" in own.dims:
        n_steps = record.get("n_steps") or 0
        kept = int((own["step"] < n_steps).sum()) if "step" in own.coords else n_steps
        own = own.isel(step=slice(0, kept))
    return own


def field_of(trace: xarray.Dataset, name: str) -> xarray.DataArray:
    """An array of a run's trace.

    Raises:
        UnknownName: it has none of that name.
    """
    if name not in trace.variables:
        raise UnknownName(f"the run has no array `{name}`", hint=nearest(name, [str(n) for n in trace.data_vars]))
    return trace[name]


def chunks(array: xarray.DataArray) -> Iterator[xarray.DataArray]:
    """An array piece by piece along its first axis, each piece as long as the chunks on disk, none of them kept.

    What is in memory at a time is one piece: a few MB (`store.trace_chunks`). An array without axes is one piece.
    """
    first = str(array.dims[0]) if array.dims else ""
    n = array.sizes[first] if first else 1
    length = array.encoding.get("preferred_chunks", {}).get(first, n) if first else 1
    for begin in range(0, n, max(length, 1)):
        yield array.isel({first: slice(begin, begin + length)}) if first else array
