"""Pictures of calibrations: functions that take data and give a figure."""

from campaign_climate.figures.bands import bands

__all__ = ["bands"]
