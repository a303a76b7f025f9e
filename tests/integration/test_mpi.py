"""MPI with real ranks: receipts, a rank's death, the wrong launcher, worlds that are there already."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from campaign.errors import CampaignError, Unavailable
from campaign.execute.base import Control
from campaign.execute.mpi.launcher import launch_command, world_rank
from campaign.execute.mpi.pool import MpiExecutor
from campaign.store.events import read_events
from campaign.store.layout import Layout
from synthetic_blocks import WORK, executions, tasks

MPIEXEC = Path(sys.executable).with_name("mpiexec")
pytestmark = [pytest.mark.mpi, pytest.mark.usefixtures("mpi")]


def collect(directory: Path, stage: str, n: int, **options):
    with MpiExecutor(**{"workers": 3, "device": "cpu", "work": WORK} | options) as running:
        return list(running.run(directory, tasks(stage, n), Control()))


def test_every_block_gives_one_receipt_and_runs_once(tmp_path):
    receipts = collect(tmp_path, "fine", 30)
    assert sorted(r.task.block for r in receipts) == list(range(30))
    assert len({r.worker for r in receipts}) == 3
    assert [executions(tmp_path, "fine", i) for i in range(30)] == [1] * 30


def test_a_dead_rank_ends_the_world_and_a_new_one_goes_on(tmp_path):
    receipts = collect(tmp_path, "dies-once", 12)
    assert sorted(r.task.block for r in receipts) == list(range(12))
    assert {r.state for r in receipts} <= {"published", "already"}
    assert [executions(tmp_path, "dies-once", i) >= 2 for i in (0, 5, 10)] == [True] * 3
    assert any(e["event"] == "block_lost" for e in read_events(Layout(tmp_path)))


DOOMED = """
import sys; sys.path[:0] = {path!r}
from pathlib import Path
from campaign.execute.base import Control
from campaign.execute.mpi.pool import MpiExecutor
from synthetic_blocks import WORK, tasks
with MpiExecutor(workers=2, device="cpu", work=WORK) as running:
    list(running.run(Path({directory!r}), tasks("slow", 8), Control()))
"""


def test_the_world_of_a_killed_driver_ends_with_it(tmp_path):
    """Its ranks do not finish the blocks that they have: those belong to the next driver."""
    script = tmp_path / "driver.py"
    path = [str(Path(__file__).parents[1]), *(p for p in sys.path if p)]
    script.write_text(DOOMED.format(path=path, directory=str(tmp_path)))
    driver = subprocess.Popen([sys.executable, str(script)])
    until = time.monotonic() + 90
    while len(list(tmp_path.glob("log/*"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    world = psutil.Process(driver.pid).children(recursive=True)
    assert len(world) >= 3
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(world, timeout=60)
    assert not alive
    assert not list(tmp_path.glob("done/*"))  # a block takes ten seconds


def test_sys_exit_in_a_block_is_an_error_and_no_hang(tmp_path):
    with pytest.raises(CampaignError, match=r"called sys\.exit"):
        collect(tmp_path, "exits", 2)


def test_n_lonely_copies_are_an_error(tmp_path):
    """A launcher that does not belong to the MPI library starts n worlds of size 1."""
    lonely = "trap 'kill $(jobs -p) 2>/dev/null' EXIT; for i in 1 2 3 4; do \"$@\" </dev/null & done; wait"
    with pytest.raises(Unavailable, match="wrong launcher: this process sees 1 MPI ranks, 4 were asked for"):
        collect(tmp_path, "fine", 3, launcher=["bash", "-c", lonely, "launch"])


def test_a_launcher_that_fails_is_an_error_with_its_words(tmp_path):
    with pytest.raises(Unavailable, match="no such partition"):
        collect(tmp_path, "fine", 3, launcher=["bash", "-c", "echo error: no such partition; exit 1", "launch"])


def test_commands_of_the_launchers(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert launch_command(5)[1:] == ["-n", "5"]
    assert launch_command(5, ["aprun", "-n", "{n}"]) == ["aprun", "-n", "5"]
    assert world_rank({"PMI_RANK": "2", "PMI_SIZE": "4"}) == (2, 4)
    assert world_rank({"PMI_RANK": "0", "PMI_SIZE": "1"}) is None
    assert world_rank({}) is None


DRIVER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from campaign.execute.mpi.ranks import RankExecutor, part_ways
part_ways("mpi")
from campaign.execute.base import Control
from synthetic_blocks import tasks
if {runs}:
    with RankExecutor(work={work!r}) as running:
        receipts = list(running.run(Path({directory!r}), tasks("fine", 20), Control()))
    print(len(receipts), len({{r.worker for r in receipts}}))
"""


@pytest.mark.parametrize(("runs", "said"), [(True, "20 3"), (False, "")])
def test_inside_a_world_its_ranks_are_used_and_let_go(tmp_path, runs, said):
    script = tmp_path / "driver.py"
    path = [p for p in sys.path if p]
    script.write_text(DRIVER.format(path=path, work=WORK, directory=str(tmp_path), runs=runs))
    command = [str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec"), "-n", "4", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == (said, 0), done.stderr
    if runs:
        assert Counter(executions(tmp_path, "fine", i) for i in range(20)) == {1: 20}
