"""One run's arrays, as xarray reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.analysis.select import Run, read_record
from campaign.errors import UnknownName
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
    """The arrays of one run, in memory: dims (step, …), cut after its last step; units as attributes.

    Where not each step is recorded, the coordinate `step` of the group says which are.

    Raises:
        UnknownName: the run is not finished, or nothing was recorded for it.
    """
    record = read_record(layout, run)
    if record is None:
        raise UnknownName(f"run {run.run_id} is not finished", hint="`campaign status` says what is left")
    with open_traces(layout, run.stage, run.program) as dataset:
        own = dataset.isel(run=run.row)
        if "step" in own.dims:
            n_steps = record.get("n_steps") or 0
            kept = int((own["step"] < n_steps).sum()) if "step" in own.coords else n_steps
            own = own.isel(step=slice(0, kept))
        return own.load()
