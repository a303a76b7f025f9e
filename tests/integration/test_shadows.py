"""Files of the user's that are called like modules of Python: no process of ours takes them for those."""

from __future__ import annotations

import subprocess

import pytest

from running import command, table, write_manifest

FIT = """
import numpy as np
from campaign.problem.python import PythonModel
from campaign.space import Parameter


def build():
    return PythonModel(lambda p: [p["a"]] * 3, [Parameter(name="a", initial=2.0)], data=[1.0, 2.0, 3.0])
"""
NAMES = ("random", "json", "types", "signal", "queue", "select", "numpy", "jax", "dask", "campaign")


@pytest.mark.parametrize("executor", ["inline", "dask"])
def test_files_that_are_called_like_libraries_are_in_nobodys_way(tmp_path, executor):
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text('raise RuntimeError("this was taken for a library")\n')
    (tmp_path / "fit.py").write_text(FIT)
    document = {
        "schema": "campaign/1",
        "name": "shadows",
        "problem": {"name": "fit.py:build"},
        "engine": {"name": "trf"},
        "execution": {"preflight": True},
    }
    words = command("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-e", executor)
    without_campaign = [words[0], "-P", *words[1:]]  # as the script `campaign` does: its folder is not this one
    done = subprocess.run(without_campaign, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "c").column("theta.a").to_pylist() == [pytest.approx(2.0)]


def test_python_m_campaign_leaves_the_folder_alone_too(tmp_path):
    for name in ("random", "json", "queue"):  # not what Python itself imports for -m
        (tmp_path / f"{name}.py").write_text('raise RuntimeError("this was taken for a library")\n')
    done = subprocess.run(command("doctor"), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert "taken for a library" not in done.stderr
    assert done.returncode == 0, done.stderr
