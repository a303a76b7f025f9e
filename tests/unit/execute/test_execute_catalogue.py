"""Which executor a manifest asks for, and what is wrong with its options."""

from __future__ import annotations

import pytest

from campaign.drive.detach import wants_job
from campaign.errors import InvalidValue, UnknownName
from campaign.execute.catalogue import cluster_profile, make_executor
from campaign.manifest.model import Execution


def test_an_executor_without_its_profile_and_an_unknown_one():
    with pytest.raises(InvalidValue, match=r"needs a cluster profile.*`loopback`"):
        cluster_profile(Execution(executor="slurm-array"))
    with pytest.raises(UnknownName, match="did you mean `dask-slurm`"):
        make_executor(Execution(executor="dask-slrum"))
    with pytest.raises(InvalidValue, match="did you mean `workers_per_gpu`"):
        make_executor(Execution(executor="dask", options={"workers_per_gpus": 2}))


def test_what_only_slurm_can_do_is_not_tried_elsewhere(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text('system = "pbs"\n')
    with pytest.raises(InvalidValue, match=r"`slurm-array` with the profile .*`pbs`; valid: `slurm`"):
        make_executor(Execution(executor="slurm-array", profile=str(file)))
    assert not wants_job(Execution(executor="dask-slurm", profile=str(file)))
    assert wants_job(Execution(executor="dask-slurm", profile="loopback"))
