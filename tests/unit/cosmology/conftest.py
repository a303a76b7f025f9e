"""Every test has a defaults store of its own."""

import pytest


@pytest.fixture(autouse=True)
def defaults_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "defaults"))
    return tmp_path / "defaults"
