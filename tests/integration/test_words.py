"""What people read on the command line, of campaigns that really run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from running import campaign, here, write_manifest

LINE = """
import equinox as eqx
import jax.numpy as jnp

from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

print("imported")


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    shift: float

    def residuals(self, theta):
        return jnp.sqrt(self.shift) * (theta[0] + theta[1] * jnp.arange(5.0) - 3.0 * jnp.arange(1.0, 6.0))


def line(shift: float = 1.0) -> Line:
    print("built")
    space = ThetaSpace((Parameter(name="a", initial=1.0, upper=2.0), Parameter(name="s", initial=1.0)))
    return Line(space, jnp.asarray(shift))
"""
BASE = {
    "schema": "campaign/1",
    "name": "t",
    "problem": {"name": "line.py:line"},
    "engine": {"name": "trf"},
    "execution": {"executor": "inline"},
}


@pytest.fixture
def manifest(tmp_path: Path):
    """(write: changes → path of a manifest, the campaign's directory)."""
    (tmp_path / "line.py").write_text(LINE)
    return lambda **changes: write_manifest(tmp_path, {**BASE, **changes}), tmp_path / "c"


@pytest.mark.parametrize("executor", ["inline", "dask"])
def test_what_a_problem_prints_is_not_on_stdout(manifest, executor):
    write, directory = manifest
    path = write(execution={"executor": executor, "workers": 1} if executor == "dask" else BASE["execution"])
    for command in (("validate", path), ("plan", path, "-d", directory), ("submit", path, "-d", directory)):
        done = campaign(*command, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["schema"] == f"campaign.{command[0]}/1"
        assert "built" in done.stderr


def test_a_parameter_at_its_bound_is_in_the_table_with_a_word(manifest):
    """Least squares with a ≤ 2: s = Σ x (y − 2)/Σ x² = 106/30, of y = 3 (x + 1)."""
    write, directory = manifest
    done = campaign("submit", write(), "-d", directory, "-q")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.split()[1:]}
    assert lines["a"] == "2 (at its upper bound)"
    x = np.arange(5.0)
    assert float(lines["s"].split()[0]) == pytest.approx(x @ (3 * (x + 1) - 2) / (x @ x), abs=0.01)


def test_evaluations_are_an_ensemble(manifest):
    write, directory = manifest
    shifts = {"grid": {"start.a": {"linspace": [0.0, 1.0, 101]}}}
    done = campaign("submit", write(engine={"name": "evaluate"}, expand=shifts), "-d", directory, "-q")
    assert done.returncode == 0, done.stderr
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith("a "))
    assert row == ["a", "0.5", "0.05", "0.95"]
    listed = here("ls", directory, "--limit", "1").stdout
    assert "start.a" in listed.splitlines()[0]


def test_most_runs_of_peoples_code_fail(manifest):
    write, directory = manifest
    shifts = {"grid": {"problem.shift": {"linspace": [-2.0, -1.0, 1200]}}}
    path = write(expand=shifts, block=100, trace=False)
    done = campaign("submit", path, "-d", directory, "-q")
    assert done.returncode == 5, done.stderr
    assert "200 of 200 runs of stage `main` failed: more than half of at least 200" in done.stderr
    done = campaign("submit", path, "-d", directory, "-q", "--set", "execution.max_failures=unlimited")
    assert done.returncode == 4, done.stderr
    assert pq.read_table(directory / "tables" / "summary.parquet")["status"].to_pylist() == ["failed"] * 1200
    histories = [json.loads(file.read_text()) for file in sorted((directory / "history").iterdir())]
    assert [entry["execution"].get("max_failures") for entry in histories] == [None, "unlimited"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": {"name": "ensemble", "walkers": 4}, "problem": {"name": "decay"}}, "4 walkers are too few"),
        ({"execution": {"executor": "inlin"}}, "did you mean `inline`?"),
        ({"execution": {"executor": "slurm-array", "profile": "lopback"}}, "did you mean `loopback`?"),
        ({"profiles": {"x": {"executor": "dusk"}}}, "at /profiles/x/executor"),
        ({"problem": {"name": "decay", "n": 10**12}}, "cannot be built: MemoryError"),
    ],
)
def test_validate_refuses_what_plan_refuses(manifest, changes, message):
    write, directory = manifest
    for command in (("validate", write(**changes)), ("plan", write(**changes), "-d", directory)):
        done = here(*command)
        assert done.returncode == 3, done.stdout
        assert message in done.stderr


def test_validate_knows_the_runs_of_an_earlier_stage(manifest):
    write, _ = manifest
    stages = [
        {"name": "a", "problem": {"name": "decay"}, "engine": {"name": "trf"}},
        {"name": "b", "engine": {"name": "trf"}, "start": {"from": "a", "pick": {"run": "zzz"}}},
    ]
    path = write_manifest(write().parent, {"schema": "campaign/1", "name": "t", "stages": stages})
    done = here("validate", path)
    assert done.returncode == 3
    assert "no run of stage `a` has an id that begins with `zzz`" in done.stderr


def test_logs_query_and_export(manifest):
    write, directory = manifest
    assert campaign("submit", write(), "-d", directory, "-q").returncode == 0
    assert "main, block 0: 1 run ok in" in here("logs", directory).stdout
    asked = here("query", directory, "select theta.a from summary")
    assert asked.returncode == 2
    assert 'quote names with a dot: "theta.a"' in asked.stderr
    out = directory / "out"
    assert here("export", directory, "last", "-o", out).returncode == 0
    assert here("export", directory, "last", "-o", out).returncode == 0
    (out / "meta.json").write_text("mine")
    refused = here("export", directory, "last", "-o", out)
    assert refused.returncode == 2
    assert "exists with other content" in refused.stderr
    assert (out / "meta.json").read_text() == "mine"
    assert here("export", directory, "last", "-o", out, "--force").returncode == 0
    assert json.loads((out / "meta.json").read_text())


@pytest.mark.long
def test_a_displaced_driver_says_by_whom(manifest):
    write, directory = manifest
    grid = {"grid": {"problem.data_seed": {"range": [0, 3000, 1]}}}
    path = write(problem={"name": "decay"}, expand=grid, block=1)
    driver = subprocess.Popen(
        [sys.executable, "-m", "campaign", "submit", str(path), "-d", str(directory), "-q"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    lease = directory / "lock" / "driver.json"
    while not list((directory / "summaries").rglob("*.jsonl")):
        assert driver.poll() is None
    driver.send_signal(signal.SIGSTOP)
    held = json.loads(lease.read_text())
    held["token"], held["owner"]["pid"] = "another", os.getpid()
    lease.write_text(json.dumps(held))
    driver.send_signal(signal.SIGCONT)
    _, error = driver.communicate(timeout=120)
    assert driver.returncode == 7, error
    assert f"another driver has taken over: process {os.getpid()} on" in error
