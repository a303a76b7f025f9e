"""What is said of jobs that wait."""

from __future__ import annotations

from campaign.execute.queue.slurm import JobState
from campaign.execute.talk import QueueTalk


def test_what_all_jobs_wait_for_is_said_once_a_reason_after_two_looks(caplog):
    def job(number, state="PENDING", reason="Priority"):
        return JobState(job=str(number), state=state, reason=reason, node="")

    talk = QueueTalk()
    said = []
    for jobs in (
        [job(1, reason="None"), job(2)],  # a first look says nothing: they may start at once
        [job(1), job(2)],
        [job(1), job(2)],
        [job(1, "RUNNING"), job(2)],
        [job(1, "RUNNING"), job(2)],
        [job(2, reason="(PartitionDown)")],
        [job(2, reason="(PartitionDown)")],
        [],
    ):
        caplog.clear()
        talk.look(jobs)
        said.append(caplog.messages)
    first, second = ["jobs 1, 2 wait in the queue: Priority"], ["job 2 waits in the queue: PartitionDown"]
    assert said == [[], first, [], [], [], [], second, []]
