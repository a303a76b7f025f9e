"""A dry run shows the jobs that would be submitted, and submits nothing."""

from __future__ import annotations

import pytest

from campaign.errors import InvalidValue
from campaign.execute.dry_run import dry_run
from campaign.manifest.model import Execution
from campaign.store.layout import Layout


def test_a_dry_run_of_an_array_is_the_script_word_for_word(tmp_path):
    execution = Execution(executor="slurm-array", profile="perlmutter-gpu", walltime_s=1800)
    text = dry_run(execution, tmp_path, "fit", 10)
    lines = text.splitlines()
    assert lines[0] == "# sbatch: 3 tasks x 4 workers, 10 blocks"  # ten blocks keep three jobs of four busy
    wanted = ["--time=0-00:30:00", "--requeue", "--gres=gpu:4", "--array=0-2", "--constraint=gpu", "--account=m0000_g"]
    assert {f"#SBATCH {w}" for w in wanted} <= set(lines)
    assert lines[-1].endswith(f"-m campaign.execute.queue.share {tmp_path}")
    assert lines[-1].startswith("exec env CAMPAIGN_ARRAY=")
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_pilots_names_the_keeper_and_hides_no_key(tmp_path):
    text = dry_run(Execution(executor="dask-slurm", profile="loopback"), tmp_path, "fit", 10)
    assert text.startswith("# sbatch: 3 jobs like this")
    assert "campaign.execute.pilots.pilot tls://ADDRESS:PORT" in text
    assert "CAMPAIGN_PILOT_NAME=pilot-00000000-1" in text
    assert "BEGIN" not in text


def test_a_dry_run_shows_the_job_of_the_scheduler_and_finds_a_wrong_option(tmp_path):
    options = {"scheduler": "job", "dashboard": True}
    text = dry_run(Execution(executor="dask-slurm", profile="loopback", options=options), tmp_path, "fit", 10)
    assert text.startswith("# sbatch: the scheduler\n#!/bin/bash\n#SBATCH --job-name=campaign-scheduler-00000000\n")
    assert (
        f"campaign.execute.pilots.scheduler_job {Layout(tmp_path).pilots('0' * 8)} dashboard\n# sbatch: 3 jobs" in text
    )
    for executor in ("dask-slurm", "slurm-array", "inline"):
        with pytest.raises(InvalidValue, match="/execution/options/schedular"):
            dry_run(Execution(executor=executor, profile="loopback", options={"schedular": "job"}), tmp_path, "fit", 10)
