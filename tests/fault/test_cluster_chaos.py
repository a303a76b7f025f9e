"""Fifty seeded faults on one campaign on the loopback SLURM. At the end: the same table, and little work lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos

from campaign.store.events import read_events
from campaign.store.layout import Layout
from cluster_files import write_profile
from infrastructure import missing
from running import assert_same, campaign, command, table, write_manifest

pytestmark = [pytest.mark.slurm, pytest.mark.mpi, pytest.mark.long]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
N_FAULTS = int(os.environ.get("CHAOS_FAULTS", "50"))
N_BLOCKS = 22 * N_FAULTS  # of 4 runs of 0.2 s, at first; a campaign that is done before the faults are is extended
PAUSE_S = 3.0  # between two faults
LIMIT_S = 1500.0
EXECUTORS = ("slurm-array", "dask-slurm", "slurm-array", "mpi", "scheduler-in-a-job")


def manifest(folder: Path, profile: Path, n_blocks: int, **execution: Any) -> Path:
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", folder / "slow.py")
    document = {
        "schema": "campaign/1",
        "name": "chaos",
        "seed": SEED,
        "problem": {"name": "slow.py:Slow"},
        "engine": {"name": "evaluate"},
        "expand": {"grid": {"start.x": {"range": [0, 4 * n_blocks, 1]}}},
        "block": 4,
        "execution": {"layout": "packed", "profile": str(profile), **execution},
        "profiles": {"scheduler-in-a-job": {"executor": "dask-slurm", "options": {"scheduler": "job"}}},
    }
    return write_manifest(folder, document)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, small enough to be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        missing("slurm", "cannot mount a file system of its own, which the full disk needs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_campaign_survives_everything(slurm, mpi, small_disk, tmp_path):
    profile = write_profile(tmp_path, partition="low", worker={"workers": 4, "memory_mb": 300, "time_s": 600})
    environment = os.environ | {"SLOW_PAUSE_S": "0.2"}  # jobs inherit it
    directory = small_disk / "c"
    chaos = Chaos(slurm, directory, SEED)
    started = time.monotonic()
    try:
        n_drivers, codes = drive(chaos, small_disk, profile, tmp_path / "drivers.log", environment)
    finally:
        chaos.end()
    seconds = time.monotonic() - started
    assert chaos.is_over(N_FAULTS)

    (tmp_path / "calm").mkdir()
    calm = manifest(tmp_path / "calm", profile, table(directory).num_rows // 4)
    assert campaign("submit", calm, "-d", tmp_path / "calm" / "c", "-e", "inline").returncode == 0
    assert_same(table(directory), table(tmp_path / "calm" / "c"))
    verified = campaign("verify", directory)
    assert verified.returncode == 0, verified.stdout + verified.stderr

    useful, wasted = work(directory, chaos.struck_at)
    print(
        f"\nchaos: seed {SEED}, {sum(chaos.done.values())} faults in {seconds:.0f} s {dict(chaos.done)}, "
        f"{n_drivers} drivers {dict(codes)}; useful {useful:.0f} s, wasted at most {wasted:.0f} s "
        f"({100 * wasted / (useful + wasted):.1f} %)",
        file=sys.stderr,
    )
    assert wasted < 0.1 * (useful + wasted)


def drive(
    chaos: Chaos, folder: Path, profile: Path, log: Path, environment: dict[str, str]
) -> tuple[int, Counter[int]]:
    """One driver after the other until one says "done" and all faults have come: (drivers, their exit codes)."""
    started, n_drivers, n_blocks = time.monotonic(), 0, N_BLOCKS
    codes: Counter[int] = Counter()
    file = manifest(folder, profile, n_blocks)
    words: list[object] = ["submit", file, "-d", chaos.directory]
    with log.open("wb") as output:
        while True:
            said = f"{sum(chaos.done.values())} faults {dict(chaos.done)}, {n_drivers} drivers {dict(codes)}"
            assert time.monotonic() - started < LIMIT_S, said
            if chaos.driver is not None and chaos.driver.poll() is not None:
                code = chaos.driver.returncode
                codes[code] += 1
                words = ["resume", chaos.directory]
                if code == 0 and chaos.is_over(N_FAULTS):
                    return n_drivers, codes
                if code == 0:  # more to do, for more faults
                    n_blocks += N_BLOCKS // 2
                    manifest(folder, profile, n_blocks)
                if code == 0 or not (chaos.directory / "manifest.json").exists():
                    words = ["submit", file, "-d", chaos.directory]
            if chaos.driver is None or chaos.driver.poll() is not None:
                chaos.executor = EXECUTORS[n_drivers % len(EXECUTORS)]
                option = "--profile" if chaos.executor == "scheduler-in-a-job" else "--executor"
                n_workers = 3 if chaos.executor == "mpi" else 12
                begin = command(*words, option, chaos.executor, "--workers", n_workers)
                chaos.driver = subprocess.Popen(begin, stdout=output, stderr=output, env=environment)
                n_drivers += 1
            time.sleep(PAUSE_S)
            if not chaos.is_over(N_FAULTS):
                name = chaos.strike()
                output.write(f"--- {time.monotonic() - started:.0f} s: {name}, {chaos.executor}\n".encode())
                output.flush()


def work(directory: Path, struck_at: list[float]) -> tuple[float, float]:
    """(seconds of blocks that counted, at most how many seconds were for nothing), from the journals.

    A block that began and never ended counts until the next fault, at most as long as a block takes; one that was
    interrupted counts whole, though a checkpoint may have saved it; of one published twice the second time counts.
    """
    published: dict[tuple, list[float]] = defaultdict(list)
    begun: dict[tuple, float] = {}
    wasted = 0.0
    for event in read_events(Layout(directory)):
        key = (event["writer"], event.get("part"), event.get("block"))
        if event["event"] == "block_started":
            begun[key] = event["t"]
        elif event["event"] == "block_published":
            begun.pop(key, None)
            published[key[1:]].append(event["seconds"])
        elif event["event"] == "block_interrupted":
            begun.pop(key, None)
            wasted += event["seconds"]
    useful = sum(times[0] for times in published.values())
    longest = 2 * useful / len(published)
    for t in begun.values():
        wasted += min([longest, *(s - t for s in struck_at if s > t)])
    return useful, wasted + sum(sum(times[1:]) for times in published.values())
