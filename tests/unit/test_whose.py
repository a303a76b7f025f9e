"""Whose a file or a module is."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import campaign
from campaign import own_code
from campaign.whose import is_installed, is_own, is_own_file, shared_packages, usual_place


@pytest.mark.parametrize("path", [json.__file__, np.__file__, campaign.__file__, "/usr/lib/x.py", "/proc/self/maps"])
def test_what_is_installed_is_nobodys_own(path):
    assert is_installed(path)
    assert not is_own_file(path)
    assert not own_code.is_own(path)


def test_a_file_of_a_user_is_own(tmp_path):
    for path in (tmp_path / "model.py", tmp_path / "lib" / "python3" / "model.py"):
        assert is_own_file(path)
        assert own_code.is_own(str(path))
    assert is_installed(tmp_path / "site-packages" / "model.py")


def test_a_plug_in_is_shared_by_a_process_and_shown_in_a_stack():
    """Its code is not copied into campaigns, but what fails in it is its author's to read."""
    path = importlib.util.find_spec("campaign_cosmology").origin
    assert not is_own_file(path)
    assert own_code.is_own(path)
    assert {"campaign", "campaign_cosmology", "numpy", "jax"} <= shared_packages()


def test_what_is_made_in_memory_has_no_place():
    assert not own_code.is_own("<string>")


def test_modules(tmp_path, monkeypatch):
    (tmp_path / "mine.py").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    own = {name: is_own(name, usual_place(name)) for name in ("mine", "folder", "json", "sys", "numpy")}
    assert own == {"mine": True, "folder": True, "json": False, "sys": False, "numpy": False}
    assert usual_place("no_such_module") is None
    assert not is_own("gone", importlib.util.spec_from_file_location("gone", Path(tmp_path / "gone.py")))
