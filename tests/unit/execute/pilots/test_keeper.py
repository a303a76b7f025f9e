"""The keeper of pilots: what it submits, replaces and gives up."""

from __future__ import annotations

import pytest

from campaign.errors import Unavailable
from campaign.execute.pilots.keeper import Keeper
from campaign.execute.queue.patience import AGAIN_S
from campaign.execute.queue.slurm import Away, Full, JobState


class Farm:
    """A queue that does what the test says."""

    def __init__(self, start_s: float = 60.0):
        self.submitted: list[tuple[str, tuple[str, ...]]] = []
        self.cancelled: list[str] = []
        self.is_fault = True
        self.keeper = Keeper(
            submit=self.submit,
            cancel=self.cancelled.extend,
            explain=lambda pilot: f"log of {pilot.job}",
            is_fault=lambda _: self.is_fault,
            start_s=start_s,
        )

    def submit(self, name, avoided):
        self.submitted.append((name, avoided))
        return str(100 + len(self.submitted))

    def look(self, now, states=(), workers=(), wanted=2):
        self.keeper.look(now, wanted, states, workers)


def running(job, node="n1"):
    return JobState(job=job, state="RUNNING", reason="None", node=node)


def test_the_keeper_submits_what_is_wanted_and_no_more():
    farm = Farm()
    farm.look(0)
    farm.look(3, [running("101"), running("102")], ["pilot1-0-17", "pilot2-0-18"])
    assert [name for name, _ in farm.submitted] == ["pilot1", "pilot2"]


def test_the_keeper_replaces_a_pilot_that_left_the_queue():
    farm = Farm()
    farm.look(0)
    for now in (3, 6, 9):
        farm.look(
            now, [running("102")] if now > 3 else [running("101"), running("102")], ["pilot1-0-17", "pilot2-0-18"]
        )
    assert [name for name, _ in farm.submitted] == ["pilot1", "pilot2", "pilot3"]
    assert farm.keeper.n_replaced == 1
    assert farm.keeper.n_fast == 0  # it had worked


def test_the_keeper_gives_up_after_three_pilots_without_a_worker():
    farm = Farm()
    for now in range(4):
        farm.look(now)  # nothing of it is ever in the queue
    with pytest.raises(Unavailable, match=r"3 worker jobs in a row ended without a worker: log of 10\d"):
        farm.look(5)
    assert len(farm.submitted) <= 4
    assert not farm.keeper.pilots


def test_the_keeper_is_patient_with_pilots_that_were_cancelled():
    farm = Farm()
    farm.is_fault = False
    for now in range(8):
        farm.look(now)
    assert farm.keeper.n_fast >= 6
    farm.is_fault = True
    with pytest.raises(Unavailable):
        [farm.look(now) for now in range(8, 12)]


def test_a_pilot_that_runs_and_never_connects_is_removed_and_its_node_avoided():
    farm = Farm(start_s=10)
    farm.look(0, wanted=1)
    farm.look(1, [running("101", "bad")], wanted=1)
    farm.look(12, [running("101", "bad")], wanted=1)
    assert farm.cancelled == ["101"]
    farm.look(13, [running("102", "bad")], wanted=1)
    farm.look(30, [running("102", "bad")], wanted=1)
    assert farm.submitted[-1] == ("pilot3", ("bad",))


def test_a_job_that_can_never_start_ends_it():
    farm = Farm()
    farm.look(0)
    never = [JobState(job=job, state="PENDING", reason="PartitionTimeLimit", node="") for job in ("101", "102")]
    farm.look(3, [running("101"), never[1]], ["pilot1-0-17"])  # one is at work: it may stay
    assert not farm.cancelled
    with pytest.raises(Unavailable, match=r"can never start: PartitionTimeLimit; change the profile \(`time_s`"):
        farm.look(6, never)
    assert set(farm.cancelled) == {"101", "102"}


def test_three_unfit_nodes_are_one_too_many():
    farm = Farm()
    farm.look(0, wanted=3)
    farm.look(1, [running("101", "a"), running("102", "b"), running("103", "c")], wanted=3)
    assert farm.keeper.blame("pilot1")
    assert farm.keeper.blame("pilot2")
    assert not farm.keeper.blame("pilot3")
    assert farm.keeper.avoided == ("a", "b", "c")


class Site:
    """A cluster that takes jobs, or raises what it is told to."""

    def __init__(self, **changes):
        self.answers: list = []
        self.submitted: list[tuple[str, tuple[str, ...]]] = []
        self.cancelled: list[str] = []
        self.said: list[str] = []
        self.nodes: dict[str, str] = {}
        self.keeper = Keeper(
            submit=self.submit, cancel=self.cancelled.extend, explain=lambda pilot: f"log of {pilot.job}",
            is_fault=lambda _: True, where=lambda pilot: self.nodes.get(pilot.job, ""), say=self.said.append,
            start_s=60.0, **changes,
        )  # fmt: skip

    def submit(self, name, avoided):
        if self.answers and isinstance(answer := self.answers.pop(0), Exception):
            raise answer
        self.submitted.append((name, avoided))
        return str(100 + len(self.submitted))


OTHERS = JobState(job="9", state="RUNNING", reason="None", node="n9", name="somebody's")


def test_a_refused_replacement_leaves_the_pilots_at_work_alone_and_is_tried_again():
    site = Site()
    site.keeper.look(0, 2, [], [])
    at_work = [running("101"), running("102"), OTHERS]
    site.keeper.look(3, 2, at_work, ["pilot1-0-7", "pilot2-0-8"])
    site.answers = [Full("QOSMaxSubmitJobPerUserLimit"), Full("QOSMaxSubmitJobPerUserLimit")]
    for now in (6, 9, 12):
        site.keeper.look(now, 2, [running("101"), OTHERS], ["pilot1-0-7"])
    assert list(site.keeper.pilots) == ["pilot1"]
    assert not site.cancelled
    assert len(site.said) == 1
    site.keeper.look(9 + AGAIN_S, 2, [running("101"), OTHERS], ["pilot1-0-7"])
    site.keeper.look(10 + 2 * AGAIN_S, 2, [running("101")], ["pilot1-0-7"])
    assert [name for name, _ in site.submitted] == ["pilot1", "pilot2", "pilot3"]
    assert len(site.said) == 1


def test_a_limit_is_an_error_only_where_nothing_is_in_the_queue():
    site = Site()
    site.answers = [Full("AssocMaxSubmitJobLimit")] * 3
    site.keeper.look(0, 1, [OTHERS], [])
    with pytest.raises(Full):
        site.keeper.look(1 + AGAIN_S, 1, [], [])
    group = Full("AssocGrpSubmitJobsLimit")
    group.by_others = True
    site.answers = [group]
    site.keeper.look(3 + 2 * AGAIN_S, 1, [], [])


def test_a_pilot_whose_submission_got_no_answer_is_found_by_its_name():
    site = Site(prefix="pilot-ab-")
    site.answers = [Away("timed out")]
    site.keeper.look(0, 1, [], [])
    found = JobState(job="77", state="RUNNING", reason="None", node="n1", name="campaign-pilot-ab-1")
    site.keeper.look(3, 1, [found], [])
    assert site.keeper.pilots["pilot-ab-1"].job == "77"
    assert not site.submitted
    site.answers = [Away("timed out")]
    site.keeper.look(60, 2, [found], ["pilot-ab-1-0-5"])
    for now in (63, 66):
        site.keeper.look(now, 2, [found], ["pilot-ab-1-0-5"])  # this one never came
    assert [name for name, _ in site.submitted] == []
    site.keeper.look(99, 2, [found], ["pilot-ab-1-0-5"])
    assert [name for name, _ in site.submitted] == ["pilot-ab-3"]
    assert site.keeper.n_fast == 0


def test_one_node_that_swallows_jobs_is_avoided_and_does_not_end_it():
    site = Site()
    site.keeper.look(0, 4, [], [])
    site.nodes = {str(100 + i): "hole" for i in range(1, 5)}  # all end before anybody sees them run
    for now in (3, 6, 9):
        site.keeper.look(now, 4, [], [])
    assert site.keeper.avoided == ("hole",)
    assert site.submitted[-1][1] == ("hole",)
    site.nodes |= {str(100 + i): "other" for i in range(5, 9)}  # and elsewhere it is the same: not the node's fault
    with pytest.raises(Unavailable, match="in a row ended without a worker: log of"):
        [site.keeper.look(now, 4, [], []) for now in (12, 15, 18)]
