"""A submission that ends before its plan has lost nothing: no damage is reported, and submitting again goes on."""

from __future__ import annotations

import shutil

import pytest

from running import here, table, write_manifest

MANIFEST = {
    "schema": "campaign/1",
    "name": "early",
    "stages": [
        {
            "name": "map",
            "problem": {"name": "rosenbrock"},
            "engine": {"name": "evaluate"},
            "expand": {"grid": {"start.x1": {"linspace": [0, 1, 4]}}},
        }
    ],
}


@pytest.mark.parametrize("kept", [("campaign.json",), ("campaign.json", "history"), ("history", "manifest.json")])
def test_a_submission_that_ended_before_its_plan(tmp_path, kept):
    manifest, root = write_manifest(tmp_path, MANIFEST), tmp_path / "results"
    submitted = here("submit", manifest, "-d", root, "-e", "inline")
    assert submitted.returncode == 0, submitted.stderr
    before = table(root)
    for path in root.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    looked = here("verify", root)
    if "campaign.json" in kept:
        assert (looked.returncode, looked.stdout) == (0, "nothing is wrong\n")
        resumed = here("resume", root)
        assert resumed.returncode == 7
        assert "its driver ended before it was made" in resumed.stderr
        assert "campaign submit MANIFEST" in resumed.stderr
    again = here("submit", manifest, "-d", root, "-e", "inline")
    assert again.returncode == 0, again.stderr
    assert table(root).equals(before)
