"""campaign: ensembles of model fits, from a manifest to a table."""
__version__ = "0.1.0"
