"""The signals of a run for its folder."""

from __future__ import annotations

from collections.abc import Sequence

from campaign.export.recorded import RecordedRun
from campaign.report.signal_files import arrays_of
from campaign.report.signal_source import flattened, of_arrays
from campaign.report.signals import Recipe, signals
from campaign.store.run_files import Pieces


def signal_arrays(run: RecordedRun, recipes: Sequence[Recipe]) -> dict[str, Pieces] | str:
    """The arrays of signals.npz, or why there are none.

    Raises:
        InvalidValue: a recipe asks for a unit that its inputs do not have.
    """
    if not recipes:
        return "no recipes were given"
    if not len(run.steps):
        return "the run recorded no steps"
    options = {
        f"{kind}.{n}": v for kind in ("problem", "engine", "start") for n, v in (run.meta.get(kind) or {}).items()
    }
    blocks = () if run.index_map is None else tuple(run.index_map.blocks)
    constants = {**options, **flattened(run.record)}
    return arrays_of(signals(recipes, of_arrays(run.arrays, run.free, blocks, constants=constants, units=run.units)))
