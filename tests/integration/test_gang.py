"""Gangs: processes that share the row blocks of each fit. The same bits with any number of them, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from campaign.analysis.status import status
from campaign.cli.plan import render as render_plan
from campaign.cli.status import render as render_status
from campaign.drive.doors import plan, submit, validate
from campaign.errors import InvalidValue
from campaign.store.events import read_events
from campaign.store.layout import Layout
from campaign.work.gang import leader
from running import assert_same, campaign, command, table
from watched_rows import write_watched

N, D = 200_000, 5
FLAT = {"executor": "inline", "checkpoint_s": 0.01}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The problem and its data."""
    folder = tmp_path_factory.mktemp("gang")
    write_watched(folder, N, D)
    return folder


def manifest(folder: Path, name: str, ranks: int, **execution) -> Path:
    path = folder / f"{name}.json"
    document = {
        "schema": "campaign/1",
        "name": "gang",
        "problem": {"name": "watched_rows.py:watched", "table": "table.npy"},
        "engine": {"name": "trf", "loss": "huber", "chunk_steps": 1},
        "execution": {**FLAT, "ranks_per_block": ranks, **execution},
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def alone(folder):
    """The table of one process."""
    submit(manifest(folder, "alone", 1), folder / "alone")
    return table(folder / "alone")


def test_one_process_gives_what_the_data_say(folder, alone):
    values = np.load(folder / "table.npy")
    (row,) = alone.to_pylist()
    residuals = values[:, :-1] @ [row[f"theta.c{i}"] for i in range(D)] - values[:, -1]
    np.testing.assert_allclose(row["metric.chi2"], residuals @ residuals, rtol=1e-12)
    np.testing.assert_allclose(np.clip(residuals, -1.0, 1.0) @ values[:, :-1], 0.0, atol=1e-2)  # of sums of ±1e5
    huber = np.where(np.abs(residuals) <= 1, 0.5 * residuals**2, np.abs(residuals) - 0.5)
    np.testing.assert_allclose(row["loss"], np.sum(huber), rtol=1e-12)


@pytest.mark.parametrize(
    ("executor", "ranks"), [("inline", 2), ("inline", 4), ("dask", 2), pytest.param("mpi", 2, marks=pytest.mark.mpi)]
)
def test_a_gang_gives_the_same_bits(folder, alone, executor, ranks, request):
    if executor == "mpi":
        request.getfixturevalue("mpi")
    workers = {} if executor == "inline" else {"workers": 1}
    place = folder / f"{executor}{ranks}"
    submit(manifest(folder, place.name, ranks, executor=executor, **workers), place)
    assert_same(table(place), alone)
    assert json.loads((place / "campaign.json").read_text())["ranks_per_block"] == ranks
    assert f"1 seen, {ranks} processes each" in render_status(status(Layout(place)), str(place))


def test_a_plan_counts_the_processes_of_a_block(folder):
    (stage,) = plan(manifest(folder, "planned", 4), folder / "planned")
    assert "1 program, 1 block, 4 processes a block" in render_plan(stage)
    (stage,) = plan(manifest(folder, "planned", 1), folder / "planned")
    assert "processes" not in render_plan(stage)


def begun(path: Path, place: Path) -> tuple[subprocess.Popen, psutil.Process]:
    """A driver whose slow fit has a checkpoint, and the member of its gang."""
    driver = subprocess.Popen(command("submit", path, "-d", place), env=os.environ | {"SECONDS": "0.05"})
    until = time.monotonic() + 120
    while not list(place.glob("checkpoints/*/*.npz")):
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    processes = psutil.Process(driver.pid).children(recursive=True)
    (member,) = [process for process in processes if "campaign.work.gang.member" in process.cmdline()]
    return driver, member


def test_a_member_that_is_killed_in_a_pass_is_replaced(folder, alone):
    place = folder / "member"
    driver, member = begun(manifest(folder, "member", 2), place)
    member.send_signal(signal.SIGKILL)
    assert driver.wait(timeout=120) == 0
    assert_same(table(place), alone)
    (lost,) = [e for e in read_events(Layout(place)) if e["event"] == "member_lost"]
    assert lost["reason"] == "member 1 of a gang of 2 died (killed by SIGKILL)"


def test_members_end_with_their_leader_and_the_fit_goes_on_from_its_checkpoint(folder, alone):
    place = folder / "leader"
    driver, member = begun(manifest(folder, "leader", 2), place)
    driver.kill()
    driver.wait()
    member.wait(timeout=30)
    done = campaign("resume", place)
    assert done.returncode == 0, done.stderr
    assert_same(table(place), alone)


def test_runs_whose_members_die_again_and_again_are_lost(folder, monkeypatch):
    monkeypatch.setenv("KILLED", "member")
    monkeypatch.setattr(leader, "MAX_LOSSES", 2)
    place = folder / "deadly"
    report = submit(manifest(folder, "deadly", 2), place)
    assert report.state == "failed"
    (row,) = table(place).to_pylist()
    assert row["outcome"] == "lost"
    assert "member 1 of a gang of 2 died (killed by SIGKILL); 2 members have died" in row["message"]


@pytest.mark.parametrize("problem", [{"name": "decay"}, {"name": "watched_rows.py:watched", "table": "table.npy"}])
def test_what_does_not_go_by_row_blocks_is_refused(folder, problem):
    engine = "trf" if problem["name"] == "decay" else "scipy-lbfgsb"
    document = json.loads(manifest(folder, "refused", 2).read_text())
    document |= {"problem": problem, "engine": {"name": engine}}
    (folder / "refused.json").write_text(json.dumps(document))
    with pytest.raises(InvalidValue, match=f"ranks_per_block .*`{engine}` does not go by row blocks"):
        validate(folder / "refused.json")
