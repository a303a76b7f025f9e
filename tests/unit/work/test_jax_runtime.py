"""Where compiled programs are kept, and how a worker is called."""

from __future__ import annotations

import os
from pathlib import Path

from campaign.work.jax_runtime import cache_folder, host_name, worker_name


def test_programs_are_cached_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("CAMPAIGN_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c" / "jax"
    monkeypatch.setenv("CAMPAIGN_CACHE", "")  # empty is not set
    assert cache_folder() == tmp_path / "x" / "campaign" / "jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "campaign" / "jax"


def test_a_forked_worker_has_a_name_of_its_own(monkeypatch):
    assert worker_name() == f"{host_name()}:{os.getpid()}"
    monkeypatch.setattr(os, "getpid", lambda: 7)
    assert worker_name() == f"{host_name()}:7"
