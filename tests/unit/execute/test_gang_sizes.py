"""Gangs are counted: jobs, allocations and machines have processors and memory for every process of a block."""

import sys

import pytest

from campaign.drive.detach import driver_script
from campaign.errors import InvalidValue
from campaign.execute.catalogue import make_executor
from campaign.execute.dry_run import dry_run
from campaign.execute.pilots.jobs import pilot_job
from campaign.execute.queue.profiles import Profile
from campaign.manifest.model import Execution
from campaign.store.layout import BlockTask, Layout


@pytest.fixture
def profile_file(tmp_path):
    """Two workers a node, each with 3 processors and 500 MB."""
    path = tmp_path / "profiles" / "small.toml"
    path.parent.mkdir()
    path.write_text("max_jobs = 4\n[worker]\nworkers = 2\ncpus = 3\nmemory_mb = 500\n")
    return str(path)


@pytest.mark.parametrize("executor", ["slurm-array", "dask-slurm"])
def test_a_job_of_gangs_asks_for_the_processors_and_the_memory_of_all_their_processes(tmp_path, profile_file, executor):
    """Two workers a node, gangs of four: 2 × 4 × 3 processors, 2 × 4 × 500 MB; each process keeps its 3 threads."""
    execution = Execution(executor=executor, profile=profile_file, ranks_per_block=4)
    lines = dry_run(execution, tmp_path, "fit", 10).splitlines()
    assert {"#SBATCH --cpus-per-task=24", "#SBATCH --mem=4000"} <= set(lines)
    assert lines[0].endswith("; 4 processes compute a block")
    if executor == "slurm-array":
        assert make_executor(execution).plan([BlockTask("fit", 0, 0)], "t").settings["threads"] == 3
    alone = dry_run(execution.model_copy(update={"ranks_per_block": 1}), tmp_path, "fit", 10).splitlines()
    assert {"#SBATCH --cpus-per-task=6", "#SBATCH --mem=1000"} <= set(alone)
    assert "processes compute" not in alone[0]


def test_pilots_of_other_systems_count_the_processes_of_gangs(tmp_path):
    profile = Profile(system="pbs", worker={"workers": 2, "cpus": 3, "memory_mb": 500})
    gangs = profile.model_copy(update={"worker": profile.worker.with_gangs(4)})
    script = pilot_job(gangs, "tls://a:1", "pilot1", tmp_path / "f", tmp_path).job_script()
    assert "ncpus=24:mem=4000MB" in script


@pytest.mark.parametrize(("cpus", "expected"), [(1, 4), (8, 16)])
def test_the_job_of_mpi_ranks_leaves_each_gang_its_processors(tmp_path, cpus, expected):
    """One worker and the rank that hands out blocks share 4 × cpus; a gang of four has never fewer than four."""
    worker = Profile(worker={"cpus": cpus, "memory_mb": 500}).worker.with_gangs(4)
    text = driver_script(
        Layout(tmp_path), "n", Profile().model_copy(update={"worker": worker}), [], executor="mpi"
    ).text
    assert {f"#SBATCH --cpus-per-task={expected}", "#SBATCH --ntasks=2", "#SBATCH --mem=2000"} <= set(text.splitlines())


def test_an_allocation_whose_tasks_are_too_small_for_gangs_is_refused(monkeypatch):
    execution = Execution(executor="mpi", ranks_per_block=4)
    monkeypatch.setenv("SLURM_NTASKS", "5")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    with pytest.raises(InvalidValue, match=r"ranks_per_block is 4, and each task of this allocation has 2 processors"):
        make_executor(execution)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert make_executor(execution).launch.n_workers == 4  # one task hands out blocks


def test_a_dry_run_of_mpi_shows_how_ranks_are_launched(tmp_path):
    options = {"launcher": ["mpirun", "-np", "{n}"]}
    execution = Execution(executor="mpi", workers=3, ranks_per_block=2, options=options)
    head, command = dry_run(execution, tmp_path, "fit", 10).splitlines()
    assert head == "# launched: 3 computing ranks and one that hands out blocks; 2 processes compute a block"
    assert command == f"mpirun -np 4 {sys.executable} -P -m campaign.execute.mpi.world"


def test_workers_of_this_machine_leave_processors_for_their_gangs(tmp_path, monkeypatch):
    monkeypatch.setattr("campaign.execute.devices.n_processors", lambda: 8)
    execution = Execution(executor="dask", ranks_per_block=4)
    text = "# nothing is submitted: 3 blocks in up to 2 worker processes on this machine; 4 processes compute a block\n"
    assert dry_run(execution, tmp_path, "fit", 3) == text
