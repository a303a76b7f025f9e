"""Pictures of calibrations: functions that take data and give a figure."""
