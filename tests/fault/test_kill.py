"""kill -9 at random moments: of a worker, of the driver, of everything. Nothing is lost, nothing doubled."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from running import TWO_STAGES, assert_same, campaign, command, here, table, write_manifest

KILLS_A_CAMPAIGN = 7


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The table of the same campaign, undisturbed, in one process."""
    folder = tmp_path_factory.mktemp("reference")
    done = campaign("submit", write_manifest(folder, TWO_STAGES), "-d", folder / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    return table(folder / "c")


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def count_events(directory: Path, name: str) -> int:
    """How often an event stands in the journals."""
    text = f'"event":"{name}"'
    return sum(journal.read_text(errors="replace").count(text) for journal in (directory / "events").glob("*.jsonl"))


def kill_something(driver: subprocess.Popen, target: str, chance: random.Random) -> None:
    """SIGKILL, without a word, to one worker, to the driver, or to all of them."""
    others = descendants(driver.pid)
    if target == "worker" and others:
        victims = [chance.choice(others)]
    elif target == "driver":
        victims = [psutil.Process(driver.pid)]
    else:
        victims = [*others, psutil.Process(driver.pid)]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, reference, seed: int) -> None:
    chance = random.Random(seed)
    manifest, directory = write_manifest(tmp_path, TWO_STAGES), tmp_path / "c"
    start = command("submit", manifest, "-d", directory, "--executor", "dask", "--workers", 2)
    kills: Counter[str] = Counter()
    while sum(kills.values()) < KILLS_A_CAMPAIGN:
        n_lives = count_events(directory, "driver_started")
        driver = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            while driver.poll() is None and count_events(directory, "driver_started") == n_lives:
                time.sleep(0.05)
            while driver.poll() is None and sum(kills.values()) < KILLS_A_CAMPAIGN:
                time.sleep(chance.uniform(0.0, 3.0))
                if driver.poll() is None:
                    target = chance.choice(["worker", "driver", "everything"])
                    kill_something(driver, target, chance)
                    kills[target] += 1
                    time.sleep(0.1)
            if driver.poll() == 0:
                break  # finished before all kills were spent
        finally:
            for process in [*descendants(driver.pid), driver]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            driver.wait()
    done = campaign("resume", directory, "--executor", "inline")
    assert done.returncode == 0, done.stderr
    assert_same(table(directory), reference)
    found = pq.read_table(directory / "tables" / "summary.parquet", columns=["run_id", "status"]).to_pandas()
    assert found["run_id"].is_unique
    assert set(found["status"]) == {"ok"}
    repaired = campaign("verify", directory, "--repair")
    assert repaired.returncode in (0, 9), repaired.stderr  # temporary files of killed writers are found, and removed
    clean = here("verify", directory)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert sum(kills.values()) >= 1
