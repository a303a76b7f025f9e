"""A precision that an engine cannot compute in is found before anything is built."""

from __future__ import annotations

from campaign.cli.main import run
from running import write_manifest


def test_the_place_and_what_is_valid_are_said(tmp_path, capsys):
    document = {
        "schema": "campaign/1",
        "name": "x",
        "problem": {"name": "decay"},
        "engine": {"name": "nuts"},
        "precision": "float32",
    }
    assert run(["validate", str(write_manifest(tmp_path, document))]) == 3
    error = capsys.readouterr().err
    assert "/precision: engine `nuts` does not compute in float32" in error
    assert 'valid: "float64"' in error
