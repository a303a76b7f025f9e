"""Contract tests that a plug-in author subclasses."""
