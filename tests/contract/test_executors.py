"""Every executor that needs nothing from outside through the shipped contract.

Those on a SLURM or in an MPI world: tests/integration/test_same_table_cluster.py. Killed workers: test_dask.py.
"""

from __future__ import annotations

from campaign.execute.catalogue import make_executor
from campaign.manifest.model import Execution
from campaign.testing.executor import ExecutorContract


class TestInline(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="inline"))


class TestDask(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="dask", workers=2))


class TestAuto(ExecutorContract):
    def executor(self):
        return make_executor(Execution(executor="auto", workers=2))
