"""Commands of `campaign optics`."""
