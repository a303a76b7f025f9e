"""The public door to the stored best parameters of models: see `campaign.store.defaults`."""

from __future__ import annotations

from campaign.store.defaults import (
    DamagedDefaults,
    Stored,
    defaults_folder,
    history,
    load,
    load_defaults,
    models,
    update_defaults,
    write_json,
)

__all__ = [
    "DamagedDefaults",
    "Stored",
    "defaults_folder",
    "history",
    "load",
    "load_defaults",
    "models",
    "update_defaults",
    "write_json",
]
