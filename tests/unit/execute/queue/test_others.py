"""Queues other than SLURM's."""

from __future__ import annotations

import os

import pytest

from campaign.errors import Unavailable
from campaign.execute.queue.others import states

PBS_SAYS = """Job Id: 17.head
    Job_Name = campaign-pilot1
    job_state = R
    exec_host = node7/0*4
Job Id: 18.head
    job_state = Q
    comment = Not Running: Not enough cpus
Job Id: 19.head
    job_state = F
"""

SGE_SAYS = """job-ID  prior   name       user         state submit/start at     queue            slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
     17 0.55500 pilot1     me           r     11/20/2026 22:00:00 all.q@node7          4
     18 0.00000 pilot2     me           qw    11/20/2026 22:00:00                      4
     20 0.00000 pilot4     me           Eqw   11/20/2026 22:00:00                      4
"""

LSF_SAYS = "17|RUN|4*node7\n18|PEND|-\n19|EXIT|node3\n"


@pytest.mark.parametrize(
    ("system", "program", "said"),
    [("pbs", "qstat", PBS_SAYS), ("sge", "qstat", SGE_SAYS), ("lsf", "bjobs", LSF_SAYS)],
)
def test_other_queues_tell_who_waits_and_who_runs(tmp_path, monkeypatch, system, program, said):
    (tmp_path / "said").write_text(said)
    (tmp_path / program).write_text(f"#!/bin/sh\ncat {tmp_path}/said\nexit 1\n")  # as for a job that has gone
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = {s.job: (s.state, s.node, s.is_hopeless) for s in states(system, ["17", "18", "19", "20"])}
    expected = {"17": ("RUNNING", "node7", False), "18": ("PENDING", "", False)}
    assert found == expected | ({"20": ("PENDING", "", True)} if system == "sge" else {})
    (tmp_path / program).unlink()
    with pytest.raises(Unavailable, match=f"queue of {system} does not answer"):
        states(system, ["17"])
