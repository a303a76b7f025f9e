"""What surrounds a command and is not its business: files called like libraries, closed streams, settings of JAX."""

from __future__ import annotations

import subprocess

import pytest

from running import assert_same, campaign, command, table, write_manifest

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
        "name": "around",
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


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(tmp_path, closed):
    document = {"schema": "campaign/1", "name": "closed", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    words = command("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-e", "inline")
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words], check=False, timeout=300)
    assert done.returncode == 0
    assert table(tmp_path / "c").num_rows == 1


def test_settings_that_debug_jax_do_not_change_a_campaign(tmp_path):
    document = {"schema": "campaign/1", "name": "debug", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    manifest = write_manifest(tmp_path, document)
    assert campaign("submit", manifest, "-d", tmp_path / "plain", "-e", "inline").returncode == 0
    settings = {"JAX_DISABLE_JIT": "1", "JAX_DEBUG_NANS": "1", "JAX_DEBUG_INFS": "1", "JAX_ENABLE_X64": "0"}
    done = campaign("submit", manifest, "-d", tmp_path / "debug", "-e", "inline", **settings)
    assert done.returncode == 0, done.stderr
    assert_same(table(tmp_path / "debug"), table(tmp_path / "plain"))
