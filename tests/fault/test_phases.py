"""People's code that raises, leaves, crashes, hangs or prints for ever, in every phase: what is lost is its own.

Where the phase is common to all runs (import, the build and trace of a problem that planning needs) the command ends
with one message. Elsewhere the guilty runs fail, each with its reason, and all others are done. ``PHASES=all`` makes
the whole table, with every executor (`mpi` where there is one); without it some cells of each row.

What hangs waits: the campaigns of all tests that were chosen run side by side.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from running import campaign, here, table, write_manifest

pytestmark = pytest.mark.long

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
OF_AUTO = [("run", "raise"), ("trace", "hang"), ("run", "hang"), ("trace", "exit"), ("run", "crash")]
TABLES = [
    pytest.param("inline", RUNS if IS_ALL else OF_INLINE, id="inline"),
    pytest.param("dask", RUNS if IS_ALL else OF_DASK, id="dask"),
    pytest.param("auto", RUNS if IS_ALL else OF_AUTO * 2, id="auto"),
    *([pytest.param("mpi", RUNS, id="mpi", marks=pytest.mark.mpi)] if IS_ALL else ()),
]
DOCUMENT = {
    "schema": "campaign/1",
    "name": "phases",
    "problem": {"name": "own.py:level"},
    "engine": {"name": "trf"},
    "timeout_s": 0.5,
}


@dataclass(frozen=True)
class Ended:
    """A campaign that has run.

    Attributes:
        directory: of the campaign.
        done: the command's ending.
        guilty: k → (phase, deed).
        n_runs: k is 0 to that.
    """

    directory: Path
    done: subprocess.CompletedProcess[str]
    guilty: dict[int, tuple[str, str]]
    n_runs: int


def ended(
    folder: Path, phase: str = "", deed: str = "", executor: str = "", cells: Sequence[tuple[str, str]] = ()
) -> Ended:
    """Every second run is guilty of a cell; all are in one block, with `auto` in two that two workers share."""
    guilty = {2 * i + 1: cell for i, cell in enumerate(cells)}
    n_runs = 2 * len(cells) + 1 if cells else 3
    n_workers = 2 if executor == "auto" else 1
    (folder / "own.py").write_text(MODEL.format(guilty=guilty, everybody=(phase, deed)))
    document = DOCUMENT | {
        "expand": {"grid": {"problem.k": {"range": [0, n_runs, 1]}}},
        "block": -(-n_runs // n_workers),
        "execution": {"workers": n_workers, "max_failures": n_runs},
    }
    options = ("-e", executor) if executor else ()
    done = campaign("submit", write_manifest(folder, document), "-d", folder / "c", "-q", *options)
    return Ended(folder / "c", done, guilty, n_runs)


@pytest.fixture(scope="module")
def campaigns(request, tmp_path_factory):
    """The campaign of each test that was chosen, by the test's name; two run at a time."""
    chosen = [item for item in request.session.items if item.path == request.path]
    with ThreadPoolExecutor(2) as pool:
        yield {item.name: pool.submit(ended, tmp_path_factory.mktemp("own"), **item.callspec.params) for item in chosen}


@pytest.mark.parametrize(("phase", "deed"), [pytest.param(*one, id="-".join(one)) for one in COMMON])
def test_what_all_runs_share_ends_the_command_with_one_message(campaigns, request, phase, deed):
    found = campaigns[request.node.name].result()
    done = found.done
    if phase == "trace" and deed not in ("quit", "crash"):  # left to the runs, which keep the stack
        assert done.returncode == 4, done.stderr
        assert set(table(found.directory).column("outcome").to_pylist()) == {OUTCOME[deed]}
        return
    assert done.returncode == 3, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "own.py" in errors[0]
    assert REASON[deed] in errors[0] or "not built within" in errors[0]
    assert len(done.stderr) < 4_000_000
    assert not found.directory.exists()


@pytest.mark.parametrize(("executor", "cells"), TABLES)
def test_the_guilty_runs_alone_fail(campaigns, request, executor, cells):
    if executor == "mpi":
        request.getfixturevalue("mpi")
    found = campaigns[request.node.name].result()
    assert found.done.returncode == 4, found.done.stdout + found.done.stderr[-3000:]
    rows = table(found.directory).to_pandas().set_index("problem.k")
    innocent = [k for k in range(found.n_runs) if k not in found.guilty]
    assert set(rows.loc[innocent, "status"]) == {"ok"}
    assert rows.loc[innocent, "theta.a"].tolist() == innocent
    for k, (phase, deed) in found.guilty.items():
        row = rows.loc[k]
        assert (row["status"], row["outcome"]) == ("failed", OUTCOME[deed]), (phase, deed, row["message"])
        assert REASON[deed] in row["message"], (phase, deed, row["message"])
        if deed != "print":  # its stack is read while it changes: now and then no frame of it is whole
            assert "own.py:" in row["message"], (phase, deed, row["message"])
        if deed == "hang":
            assert re.search(r"own\.py:\d+ in `misbehave`", row["message"]), (phase, row["message"])
        if (phase, deed) == ("run", "raise"):
            said = r"ValueError: the detector is off \(own\.py:\d+ in `misbehave`\)"
            assert re.fullmatch(said, row["message"]), row["message"]
            assert "own.py" in here("show", found.directory, row["run_id"]).stdout.partition("traceback:")[2]
    assert json.loads(here("status", found.directory, "--json").stdout)["stages"][0]["n_failed"] == len(found.guilty)
    assert here("verify", found.directory).returncode == 0
