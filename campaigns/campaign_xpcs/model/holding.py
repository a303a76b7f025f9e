"""Maps that the options name: read whole, or left in their file, as asked for or as memory allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from campaign.science import InvalidValue, RowPlan
from campaign_xpcs.data.held import held_plan
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.reading import HDF5
from campaign_xpcs.data.stored_maps import StoredMaps, stored_hdf5
from campaign_xpcs.model import options as option_models
from campaign_xpcs.model.options import XpcsOptions
from campaign_xpcs.model.parameters import is_static


def held_maps(options: XpcsOptions) -> tuple[TwoTimeMaps | StoredMaps, RowPlan | None]:
    """The maps, and how it was chosen where they are held; None where `held` is "memory".

    Raises:
        InvalidValue: `held` is "file", and another option needs the maps in memory.
        DataFileError, UnknownName, Unavailable: what is wrong with the file or the options.

    Checked: tests/unit/xpcs/test_xpcs_holding.py.
    """
    need = needs_memory(options)
    if options.held == "file" and need is not None:
        raise InvalidValue(f'`held` is "file", and {need} needs the maps in memory', hint='leave it out, or "memory"')
    if options.held == "memory" or need is not None:
        return option_models.measured(options), None
    stored = option_models.opened(options, stored_hdf5)
    plan = held_plan(stored.n_rows, has_shear=not is_static(options.mode))
    if options.held == "file":
        plan = replace(plan, strategy="row blocks", reason=f"asked for; {plan.reason}")
    return (stored if plan.strategy == "row blocks" else option_models.measured(options)), plan


def needs_memory(options: XpcsOptions) -> str | None:
    """The first option that cannot do with slices of a file."""
    wants = {
        "data": options.data is None or Path(options.data).suffix.lower() not in HDF5,
        "phi_ranges": options.phi_ranges is not None,
        "diagonal_width": options.diagonal_width > 0,
        "block_average": options.block_average > 1,
        "sigma": options.sigma == "far-lags",
        "n_shards": options.n_shards > 1,
        "marginal": options.marginal,
    }
    found = next((name for name, is_wanted in wants.items() if is_wanted), None)
    if found != "data":
        return found and f"`{found}`"
    return "`data` that is no HDF5 file" if options.data is not None else "a simulation"
