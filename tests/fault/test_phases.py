"""People's code that raises, leaves, crashes, hangs or prints for ever, in every phase: what is lost is its own.

Where the phase is common to all runs (import, the build and trace of a problem that planning needs) the command ends
with one message. Elsewhere the guilty runs fail, each with its reason, and all others are done. ``PHASES=all`` makes
the whole table, with every executor (`mpi` where there is one); without it some cells of each row.
"""

from __future__ import annotations

import itertools
import os

import pytest

from running import campaign, table, write_manifest

MODEL = """
import ctypes, os, sys, time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace

GUILTY = {guilty!r}  # k -> (phase, deed)
EVERYBODY = {everybody!r}  # (phase, deed)


def misbehave(deed):
    if deed == "raise":
        raise ValueError("the detector is off")
    if deed == "exit":
        sys.exit(3)
    if deed == "quit":
        os._exit(3)
    if deed == "crash":
        ctypes.string_at(0)
    if deed == "hang":
        time.sleep(3600)
    while deed == "print":
        print("x" * 1000)


def meet(phase, k=None):
    for wanted, deed in (EVERYBODY, GUILTY.get(k, ("", ""))):
        if phase == wanted:
            misbehave(deed)


meet("import")


class Level(Problem):
    space: ThetaSpace = eqx.field(static=True)
    k_traced: int = eqx.field(static=True)
    y: jax.Array
    k: jax.Array

    def residuals(self, theta):
        meet("trace", self.k_traced)

        def look(k):
            meet("run", int(k))
            return np.float64(0.0)

        nothing = jax.pure_callback(look, jax.ShapeDtypeStruct((), float), self.k, vmap_method="sequential")
        return theta[0] - self.y + nothing


def level(k: float = 0.0) -> Level:
    meet("build", int(k))
    traced = int(k) if GUILTY.get(int(k), ("", ""))[0] == "trace" else -1
    return Level(ThetaSpace((Parameter(name="a", initial=1.0),)), traced, jnp.full(4, k), jnp.asarray(k))
"""
DEEDS = ("raise", "exit", "quit", "crash", "hang", "print")
OUTCOME = {"raise": "error", "exit": "error", "quit": "lost", "crash": "lost", "hang": "timeout", "print": "timeout"}
REASON = {
    "raise": "ValueError: the detector is off",
    "exit": "SystemExit: 3",
    "quit": "exit code 3",
    "crash": "segmentation fault",
    "hang": "did not return",
    "print": "did not return",
}
IS_ALL = os.environ.get("PHASES") == "all"
SOME = [("import", "quit"), ("import", "hang"), ("build", "crash"), ("trace", "quit")]
COMMON = list(itertools.product(("import", "build", "trace"), DEEDS)) if IS_ALL else SOME
RUNS = list(itertools.product(("build", "trace", "run"), DEEDS))
OF_INLINE = [("run", "raise"), ("run", "crash"), ("run", "hang"), ("trace", "quit")]
OF_DASK = [("build", "crash"), ("trace", "raise"), ("trace", "hang"), ("run", "quit"), ("run", "print")]
TABLES = [
    pytest.param("inline", RUNS if IS_ALL else OF_INLINE, id="inline"),
    pytest.param("dask", RUNS if IS_ALL else OF_DASK, id="dask"),
    *([pytest.param("auto", RUNS, id="auto")] if IS_ALL else ()),
    *([pytest.param("mpi", RUNS, id="mpi", marks=pytest.mark.mpi)] if IS_ALL else ()),
]
DOCUMENT = {
    "schema": "campaign/1",
    "name": "phases",
    "problem": {"name": "own.py:level"},
    "engine": {"name": "trf"},
    "timeout_s": 0.2,
    "execution": {"workers": 1},
}


def written(folder, guilty, everybody, n):
    (folder / "own.py").write_text(MODEL.format(guilty=guilty, everybody=everybody))
    expand = {"grid": {"problem.k": {"range": [0, n, 1]}}}
    return write_manifest(folder, DOCUMENT | {"expand": expand, "block": n})


@pytest.mark.parametrize(("phase", "deed"), [pytest.param(*one, id="-".join(one)) for one in COMMON])
def test_what_all_runs_share_ends_the_command_with_one_message(tmp_path, phase, deed):
    manifest = written(tmp_path, {}, (phase, deed), 3)
    done = campaign("submit", manifest, "-d", tmp_path / "c", "-q")
    if phase == "trace" and deed in ("raise", "exit"):  # left to the runs, which keep the stack
        assert done.returncode == 4, done.stderr
        assert set(table(tmp_path / "c").column("outcome").to_pylist()) == {"error"}
        return
    assert done.returncode == 3, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "own.py" in errors[0]
    assert REASON[deed] in errors[0] or "not built within" in errors[0]
    assert len(done.stderr) < 2_000_000
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("executor", "cells"), TABLES)
def test_the_guilty_runs_alone_fail(tmp_path, executor, cells, request):
    if executor == "mpi":
        request.getfixturevalue("mpi")
    guilty = {2 * i + 1: cell for i, cell in enumerate(cells)}
    n = 2 * len(cells) + 1
    done = campaign("submit", written(tmp_path, guilty, ("", ""), n), "-d", tmp_path / "c", "-q", "-e", executor)
    assert done.returncode == 4, done.stdout + done.stderr[-3000:]
    found = table(tmp_path / "c").to_pandas().set_index("problem.k")
    assert found.loc[list(range(0, n, 2)), "theta.a"].tolist() == list(range(0, n, 2))
    for k, (phase, deed) in guilty.items():
        row = found.loc[k]
        assert (row["status"], row["outcome"]) == ("failed", OUTCOME[deed]), (phase, deed, row["message"])
        assert REASON[deed] in row["message"], (phase, deed, row["message"])
        assert "own.py:" in row["message"], (phase, deed, row["message"])
    assert campaign("verify", tmp_path / "c").returncode == 0
