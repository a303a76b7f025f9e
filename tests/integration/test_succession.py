"""One driver after another: what a dead one left at work ends before anything is mended; pausing; who may stop whom."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from campaign.drive import doors as orchestrate
from campaign.drive import repairing
from campaign.execute.queue.array_plan import ArrayPlan
from campaign.store.events import read_events
from campaign.store.layout import Layout
from campaign.store.lease import acquire, holder
from campaign.store.owner import this_process
from campaign.store.plan import latest_part
from campaign.store.records import publish_json
from campaign.store.stop import PAUSE, request_stop, stop_requested
from running import campaign, command, here, table, write_manifest

SLOW: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "slow",
    "problem": {"name": "slow.py:Slow"},
    "engine": {"name": "evaluate"},
    "expand": {"grid": {"start.x": {"linspace": [0, 1, 80]}}},
    "block": 4,
}


def slow_manifest(folder: Path, **changes: Any) -> Path:
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", folder / "slow.py")
    return write_manifest(folder, SLOW | changes)


def wait_for(condition, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return found


def done_blocks(directory: Path) -> list[Path]:
    return list((directory / "summaries" / "main").glob("*.jsonl"))


def begin(file: Path, directory: Path, *options: object) -> subprocess.Popen[bytes]:
    """A driver that has finished a few blocks, and has many left."""
    slow = os.environ | {"SLOW_PAUSE_S": "0.25"}
    driver = subprocess.Popen(command("submit", file, "-d", directory, *options), env=slow, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(done_blocks(directory)) >= 2)
    return driver


# --- a driver in the queue --------------------------------------------------------------------------------------------


def test_a_driver_in_the_queue_is_no_missing_campaign_and_is_waited_for(tmp_path):
    layout = Layout(tmp_path / "c")
    layout.logs.mkdir(parents=True)
    publish_json(layout.driver_job, {"schema": "campaign.driver-job/1", "job": "17"})
    for asked in (
        here("status", layout.root),
        here("watch", layout.root, "--once"),
        campaign("resume", layout.root),
    ):
        assert asked.returncode == 7
        assert "has not begun: its driver is job 17, and has no log yet" in asked.stderr
        assert "squeue -j 17" in asked.stderr
    layout.log("driver-17").write_text("line 15: /no/python: No such file or directory\n")
    assert "  | line 15: /no/python: No such file" in here("status", layout.root).stderr

    watch = subprocess.Popen(command("watch", layout.root, "--every", "0.2"), stdout=-1, stderr=-1, text=True)
    assert "job 17" in watch.stderr.readline()
    assert campaign("submit", slow_manifest(tmp_path), "-d", layout.root, SLOW_PAUSE_S="0").returncode == 0
    output, errors = watch.communicate(timeout=60)
    assert (watch.returncode, errors.count("job 17")) == (0, 0)  # said once
    assert "complete" in output


# --- pausing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("-e", "inline"), ("-e", "dask", "-w", "2")], ids=["inline", "dask"])
def test_a_pause_from_another_shell_stands_until_a_resume(tmp_path, options):
    directory = tmp_path / "c"
    driver = begin(slow_manifest(tmp_path), directory, *options)
    asked = campaign("pause", directory)
    assert asked.returncode == 0, asked.stderr
    assert driver.wait(timeout=60) == 7
    n_done = len(done_blocks(directory))
    assert 2 <= n_done < 20

    status = json.loads(here("status", directory, "--json").stdout)
    assert status["state"] == "paused"
    assert (status["asked"]["mode"], status["driver"]) == ("pause", None)
    assert status["asked"]["by"] == f"{getpass.getuser()} on {socket.gethostname()}"
    assert status["stages"][0]["n_done"] == 4 * n_done
    watched = here("watch", directory)  # ends by itself: nothing will change
    assert "paused" in watched.stdout
    assert "campaign resume" in watched.stdout
    assert "paused by" in here("logs", directory).stdout

    assert campaign("resume", directory).returncode == 0
    assert table(directory).num_rows == 80
    status = json.loads(here("status", directory, "--json").stdout)
    assert (status["state"], status["asked"]) == ("complete", None)


def test_a_cancel_leaves_no_word_behind(tmp_path):
    directory = tmp_path / "c"
    driver = begin(slow_manifest(tmp_path), directory, "-e", "inline")
    assert campaign("cancel", directory).returncode == 0
    assert driver.wait(timeout=60) == 7
    assert stop_requested(Layout(directory)) is None
    status = json.loads(here("status", directory, "--json").stdout)
    assert status["state"] == "stopped"
    assert status["ended"].startswith("drained by ")  # whoever runs the tests, on this host


def test_a_pause_that_comes_too_late_is_forgotten(tmp_path):
    """All blocks are done when the driver sees the word."""
    layout = Layout(tmp_path / "c")

    def pause(progress):
        if progress.phase == "done":
            request_stop(layout, PAUSE, "test")

    report = orchestrate.submit(slow_manifest(tmp_path), layout.root, executor="inline", on_progress=pause)
    assert report.state == "done"
    assert stop_requested(layout) is None


# --- taking over ------------------------------------------------------------------------------------------------------


@pytest.fixture
def queue(tmp_path, monkeypatch) -> Path:
    """A queueing system that is a file: one line a job, as squeue prints it; cancelled jobs go to `cancelled`."""
    programs, file = tmp_path / "bin", tmp_path / "queue"
    programs.mkdir()
    file.write_text("")
    scripts = {
        "squeue": f"cat {file}",
        "scancel": f'for j in "$@"; do echo "$j" >> {file}.cancelled; sed -i "/^$j[|_]/d" {file}; done',
        "sbatch": "echo no job may be submitted here >&2; exit 1",
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return file


def cancelled(queue: Path) -> list[str]:
    file = queue.with_name("queue.cancelled")
    return file.read_text().split() if file.exists() else []


def leave_array(layout: Layout, queue: Path) -> None:
    """The job array of a driver that died."""
    array = ArrayPlan(token="aa", stage="main", blocks=[(0, 0)], n_jobs=1, workers=1, settings={}, job="77")
    array.save(layout)
    queue.write_text("77_0|77|77|RUNNING|None|node1|campaign-main-aa\n78|78|78|RUNNING|None|node1|somebody-elses\n")


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with a manifest and its campaign `c`, of which a few blocks are done."""
    folder = tmp_path_factory.mktemp("begun")
    driver = begin(slow_manifest(folder), folder / "c", "-e", "inline")
    campaign("cancel", folder / "c")
    assert driver.wait(timeout=60) == 7
    return folder


@pytest.fixture
def paused(begun, tmp_path) -> Layout:
    """A copy of it."""
    return Layout(shutil.copytree(begun / "c", tmp_path / "c"))


@pytest.mark.parametrize(
    ("how", "executor"), [("resume", "inline"), ("resume", "auto"), ("resume", "dask"), ("submit", "inline")]
)
def test_the_array_of_a_dead_driver_ends_before_anything_is_mended_or_computed(
    paused, queue, begun, monkeypatch, executor, how
):
    """Fails when mending comes before the lease, or before the array is gone."""
    leave_array(paused, queue)
    seen = []

    def look(layout, **_):
        held = holder(layout)
        is_ours = held is not None and held.owner is not None and held.owner.pid == os.getpid()
        seen.append((is_ours, cancelled(queue)))
        return []

    monkeypatch.setattr(repairing, "verify", look)
    if how == "resume":
        report = orchestrate.resume(paused.root, executor=executor, workers=2)
        assert seen == [(True, ["77"])]
    else:
        report = orchestrate.submit(begun / "manifest.json", paused.root, executor=executor, workers=2)
    assert report.state == "done"
    assert cancelled(queue) == ["77"]  # and nobody else's
    assert table(paused.root).num_rows == 80


def test_pilots_and_schedulers_of_a_dead_driver_are_removed(paused, queue):
    paused.pilots("ab12").write_text("{}")
    names = ("campaign-pilot-ab12-1", "campaign-pilot-ab12-2", "campaign-scheduler-ab12", "campaign-pilot-cd34-1")
    queue.write_text("".join(f"{i}|{i}|{i}|PENDING|None||{name}\n" for i, name in enumerate(names, 10)))
    assert orchestrate.resume(paused.root, executor="inline").state == "done"
    assert cancelled(queue) == ["10", "11", "12"]
    assert not paused.pilots("ab12").exists()


def test_an_array_is_adopted_by_a_driver_of_arrays_and_nothing_is_mended_under_its_hands(paused, queue, monkeypatch):
    leave_array(paused, queue)
    monkeypatch.setattr(repairing, "verify", lambda layout, **_: pytest.fail("mended while an array is at work"))
    monkeypatch.setattr(orchestrate, "drive", lambda *arguments: "driven")
    assert orchestrate.resume(paused.root, executor="slurm-array", profile="loopback") == "driven"
    assert cancelled(queue) == []


def test_workers_that_have_outlived_their_driver_are_asked_to_stop_and_waited_for(paused):
    """A block was begun by a living process that no driver knows: it sees the word, and says that it has stopped."""
    journal = paused.event_log(this_process().writer)
    place = {"stage": "main", "part": 0, "block": 19}

    def note(event: str, **fields: Any) -> None:
        with journal.open("a") as file:
            file.write(json.dumps({"t": time.time(), "event": event, **fields}) + "\n")

    note("block_started", **place)
    command_line = command("resume", paused.root, "-e", "inline")
    driver = subprocess.Popen(command_line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    word = wait_for(lambda: stop_requested(paused))
    assert word.reason == "another driver takes over"
    n_done = len(done_blocks(paused.root))
    time.sleep(1.0)
    assert len(done_blocks(paused.root)) == n_done  # it waits
    note("block_interrupted", **place)
    assert driver.wait(timeout=60) == 0
    assert [e["n_blocks_left"] for e in read_events(paused) if e["event"] == "taken_over"] == [0]


def test_a_part_that_was_planned_before_another_driver_added_one_is_planned_again(tmp_path, monkeypatch):
    """Two submissions at once: the second has planned before it gets the lease."""
    file, layout = slow_manifest(tmp_path), Layout(tmp_path / "c")
    assert orchestrate.submit(file, layout.root, executor="inline").state == "done"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    grid = {"grid": {"start.x": {"linspace": [0, 1, 80]}}}
    one = slow_manifest(tmp_path / "one", expand=grid, include=[{"start.x": 5.0}])
    two = slow_manifest(tmp_path / "two", expand=grid, include=[{"start.x": 5.0}, {"start.x": 6.0}])
    real = orchestrate.make_root

    def other_driver_first(root):
        real(root)
        monkeypatch.setattr(orchestrate, "make_root", real)
        assert orchestrate.submit(one, layout.root, executor="inline").state == "done"

    monkeypatch.setattr(orchestrate, "make_root", other_driver_first)
    assert orchestrate.submit(two, layout.root, executor="inline").state == "done"
    assert latest_part(layout, "main") == 2
    found = table(layout.root)
    assert sorted(found["start.x"].to_pylist())[-2:] == [5.0, 6.0]
    assert len(set(found["run_id"].to_pylist())) == 82


# --- who is asked to stop ---------------------------------------------------------------------------------------------


def test_a_cancel_reaches_what_a_dead_driver_left_in_the_queue(paused, queue):
    assert not orchestrate.request_stop(paused.root, "pause")
    leave_array(paused, queue)
    assert orchestrate.request_stop(paused.root, "pause")
    assert stop_requested(paused).mode == "pause"  # its tasks look there
    assert cancelled(queue) == []
    orchestrate.request_stop(paused.root, "cancel")
    assert cancelled(queue) == ["77"]


def test_a_detached_driver_that_still_waits_in_the_queue_can_be_stopped(tmp_path, queue):
    layout = Layout(tmp_path / "new")
    publish_json(layout.driver_job, {"schema": "campaign.driver-job/1", "job": "91"})
    queue.write_text("91|91|91|PENDING|Priority||campaign-new\n")
    done = campaign("cancel", layout.root)
    assert done.returncode == 0, done.stderr
    assert cancelled(queue) == ["91"]


def test_a_rival_is_refused_before_anything_is_touched(paused, queue):
    leave_array(paused, queue)
    paused.summaries("main", 0, 0).write_text("damaged\n")
    with acquire(paused):
        refused = campaign("resume", paused.root, "-e", "inline")
    assert refused.returncode == 8, refused.stderr
    assert cancelled(queue) == []
    assert paused.summaries("main", 0, 0).read_text() == "damaged\n"
