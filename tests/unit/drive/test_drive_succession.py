"""Who is asked to stop, and what a driver that takes over ends, waits for and leaves."""

from __future__ import annotations

import pytest

from campaign.drive import succession
from campaign.drive.succession import stop, take_over
from campaign.manifest.model import Execution
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask, Layout
from campaign.store.lease import acquire
from campaign.store.owner import this_process
from campaign.store.stop import CANCEL, DRAIN, PAUSE, request_stop, stop_requested

DEAD = this_process().writer.rsplit("-", 2)[0] + "-4194305-0"  # of this machine; larger than any process id
FAR = "elsewhere-7-0"


def begun(layout, writer, *blocks, event="block_started"):
    with EventLog(layout, writer) as events:
        for block in blocks:
            events.append(event, stage="fit", part=0, block=block)


def taken_over(layout):
    """The blocks that were left, where the driver waited for any."""
    return [event["n_blocks_left"] for event in read_events(layout) if event["event"] == "taken_over"]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(succession, "QUIET_S", 0.0)


def test_a_request_to_stop_is_withdrawn_by_who_resumes(tmp_path):
    layout = Layout(tmp_path)
    request_stop(layout, PAUSE, "lunch")
    assert take_over(layout, Execution(executor="inline"))
    assert stop_requested(layout) is None
    assert taken_over(layout) == []


def test_blocks_of_the_dead_and_of_those_that_ended_are_not_waited_for(tmp_path):
    layout = Layout(tmp_path)
    begun(layout, DEAD, 0, 1)
    begun(layout, FAR, 2)
    begun(layout, FAR, 2, event="block_interrupted")
    assert take_over(layout, Execution(executor="inline"))
    assert taken_over(layout) == []


def test_blocks_that_were_begun_before_a_driver_said_that_it_ended_are_over(tmp_path):
    layout = Layout(tmp_path)
    begun(layout, FAR, 0, 1)
    with EventLog(layout) as events:
        events.append("driver_stopped", reason="finished")
    assert take_over(layout, Execution(executor="inline"))
    assert taken_over(layout) == []


def test_blocks_elsewhere_are_asked_to_stop_and_given_up_after_a_while(tmp_path, monkeypatch):
    layout, asked = Layout(tmp_path), []
    real = succession.request_stop
    monkeypatch.setattr(succession, "request_stop", lambda *given: asked.append(given[1:]) or real(*given))
    begun(layout, DEAD, 0)
    begun(layout, FAR, 1, 2)
    assert take_over(layout, Execution(executor="inline"))
    assert asked == [(DRAIN, "another driver takes over")]
    assert taken_over(layout) == [2]
    assert stop_requested(layout) is None  # else this driver would stop as well


@pytest.mark.parametrize(
    ("execution", "remains"),
    [
        ({"executor": "dask-slurm", "options": {"scheduler": "job"}}, True),  # its scheduler is found by this file
        ({"executor": "dask-slurm", "options": {}}, False),
        ({"executor": "dask", "options": {}}, False),
    ],
)
def test_pilots_stay_for_a_driver_that_comes_back_to_them(tmp_path, monkeypatch, execution, remains):
    monkeypatch.setenv("PATH", str(tmp_path))  # no SLURM
    layout = Layout(tmp_path)
    path = layout.pilots("abc")
    path.parent.mkdir()
    path.touch()
    assert take_over(layout, Execution(**execution))
    assert path.exists() == remains


@pytest.mark.parametrize("mode", [DRAIN, PAUSE, CANCEL])
def test_only_who_is_at_work_is_asked_to_stop(tmp_path, mode):
    layout = Layout(tmp_path)
    assert not stop(layout, mode)
    assert not layout.stop.exists()
    with acquire(layout):
        assert stop(layout, mode)
        request = stop_requested(layout)
        assert request is not None
        assert (request.mode, request.reason) == (mode, "asked by a person")


def test_open_blocks_are_counted_without_the_dead(tmp_path):
    from campaign.analysis.journal import Journal

    layout = Layout(tmp_path)
    journal = Journal.of(layout)
    assert succession._under_way(journal) == 0
    begun(layout, DEAD, 0)
    begun(layout, FAR, 0, 1, 2)  # block 0 was begun again
    begun(layout, FAR, 1, event="block_published")  # an event that does not say what it must ends nothing
    assert succession._under_way(journal) == 3
    assert {task for task, _ in journal.open_blocks()} == {BlockTask("fit", 0, k) for k in range(3)}
