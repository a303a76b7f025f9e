"""Every executor that needs nothing from outside through the shipped contract.

Those on a SLURM or in an MPI world: tests/integration/test_same_table_cluster.py. Killed workers: test_dask.py.
"""

from __future__ import annotations

import pytest

from campaign.execute.base import Control
from campaign.execute.catalogue import make_executor
from campaign.execute.remote import Unfit
from campaign.manifest.model import Execution
from campaign.schedule.pending import pending
from campaign.testing.executor import ExecutorContract, planned


class TestInline(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="inline"))


class TestDask(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="dask", workers=2))


class TestAuto(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="auto", workers=2))


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("inline", "auto"):
        folder = tmp_path / name
        folder.mkdir()
        layout = planned(folder)
        asked = Execution(executor=name, options={"device": "gpu"})
        with make_executor(asked) as executor, pytest.raises(Unfit, match="computes on cpu, gpu was asked for"):
            list(executor.run(layout.root, list(pending(layout, "main")), Control()))
        assert len(pending(layout, "main")) == 4


def test_auto_leaves_the_gpus_to_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert make_executor(Execution(executor="auto")).name == "dask"
    assert make_executor(Execution(executor="auto", options={"device": "cpu"})).name == "auto"
