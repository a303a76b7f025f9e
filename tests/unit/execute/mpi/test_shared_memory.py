"""Shared memory that killed MPI ranks left behind."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from campaign.execute.mpi.shared_memory import forget_the_dead

RANK = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "PMI_RANK": "2"}
NAMES = ("mpich_shm_eb421bf2_0", "mpich_vci_eb421bf2_3")  # seen: what MPICH 5.0.2 makes in step 1.0


def left_behind(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"dead")


def test_what_is_older_than_the_world_goes(tmp_path):
    left_behind(tmp_path, *NAMES, "mpich_shm_8023fe74_0", "mpich_shm_281e0ec3_0", "other")  # "1.0-1"; step 2.0
    removed = forget_the_dead(time.time() + 1, environment=RANK, folder=tmp_path)
    assert sorted(path.name for path in removed) == ["mpich_shm_8023fe74_0", *NAMES]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mpich_shm_281e0ec3_0", "other"]


def test_what_living_ranks_made_stays(tmp_path):
    left_behind(tmp_path, *NAMES)
    assert forget_the_dead(time.time() - 1, environment=RANK, folder=tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 2


def test_the_world_is_as_old_as_the_parent(tmp_path):
    """Pytest's own parent began before this file was written."""
    left_behind(tmp_path, *NAMES)
    assert forget_the_dead(environment=RANK, folder=tmp_path) == []


@pytest.mark.parametrize("missing", RANK)
def test_elsewhere_nothing_is_touched(tmp_path, missing):
    left_behind(tmp_path, *NAMES)
    environment = {name: value for name, value in RANK.items() if name != missing}
    assert forget_the_dead(time.time() + 1, environment=environment, folder=tmp_path) == []


def test_links_are_not_followed(tmp_path):
    folder = tmp_path / "shm"
    folder.mkdir()
    (tmp_path / "precious").write_text("x")
    (folder / NAMES[0]).symlink_to(tmp_path / "precious")
    assert forget_the_dead(time.time() + 1, environment=RANK, folder=folder) == []
    assert (tmp_path / "precious").exists()


def test_of_ranks_that_look_at_once_one_removes_it(tmp_path):
    left_behind(tmp_path, NAMES[0])
    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(forget_the_dead, time.time() + 1, environment=RANK, folder=tmp_path) for _ in range(8)]
    assert sum(len(look.result()) for look in looks) == 1
