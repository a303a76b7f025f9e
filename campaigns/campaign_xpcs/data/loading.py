"""The maps that a configuration names."""

from __future__ import annotations

from campaign.science import InvalidValue, UsageError
from campaign_xpcs.data import choosing
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.reading import read_maps
from campaign_xpcs.data.yaml_config import XpcsConfig


def configured_maps(config: XpcsConfig) -> TwoTimeMaps:
    """Read, cut to the frames and the angles that are asked for.

    Raises:
        UsageError: the configuration names no file. DataFileError, InvalidValue: what is wrong with it.
    """
    if config.data_path is None:
        raise UsageError("the configuration names no data", hint="experimental_data.file_path")
    maps = read_maps(
        config.data_path,
        q=config.q,
        dt_s=config.dt_s,
        gap=config.gap,
        sigma=config.sigma,
        first_frame=config.start_frame or 1,
        last_frame=config.end_frame,
    )
    if not config.angle_ranges:
        return maps
    try:
        return choosing.angles(maps, config.angle_ranges)
    except InvalidValue as error:
        if not config.all_angles_if_none:
            raise
        from dataclasses import replace

        return replace(maps, notes=(*maps.notes, f"all angles, as fallback_to_all_angles says: {error.message}"))
