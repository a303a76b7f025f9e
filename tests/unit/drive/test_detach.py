"""The job of a detached driver."""

from __future__ import annotations

from campaign.drive.detach import driver_script
from campaign.execute.pilots.jobs import pilot_job
from campaign.execute.queue.profiles import Profile
from campaign.store.layout import Layout


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_the_driver_has_an_account_a_partition_and_a_python_of_its_own(tmp_path):
    driver = {"account": "cpu_hours", "constraint": "", "python": ["/opt/py/bin/python"], "prologue": ["module load b"]}
    profile = Profile(
        account="gpu_hours", partition="booster", constraint="gpu", python=["apptainer", "exec", "a b.sif", "python"],
        prologue=["module load a"], isa="avx2", driver=driver,
    )  # fmt: skip
    script = driver_script(Layout(tmp_path), "name", profile, ["resume", "/x y"], executor="slurm-array")
    given = options(script.text)
    assert {"--account=cpu_hours", "--partition=booster", f"--job-name={script.name}"} <= set(given)
    assert not any("constraint" in option for option in given)
    assert script.text.splitlines()[-1] == "exec /opt/py/bin/python -P -m campaign.drive.driver_job resume '/x y'"
    assert "module load b" in script.text
    assert "module load a" not in script.text
    assert "isa" not in script.text
    other = driver_script(Layout(tmp_path), "name", profile, ["resume", "/x y"], executor="slurm-array")
    assert other.name != script.name
    worker = pilot_job(profile, "tls://a:1", "pilot-x-1", tmp_path / "f", tmp_path).job_script()
    assert "apptainer exec 'a b.sif' python -P -m campaign.execute.pilots.pilot tls://a:1 &" in worker
    assert "--xla_cpu_max_isa=AVX2" in worker
