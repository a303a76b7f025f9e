"""Which runs are tried alone, what three failures say, and what a process that ended leaves to say."""

from __future__ import annotations

import json

import pytest

from campaign.drive import preflight as trying
from campaign.drive.preflight import FROM, is_wanted, preflight
from campaign.execute.base import Control
from campaign.last_words import Words
from campaign.manifest.model import Execution
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask, Layout


@pytest.mark.parametrize(
    ("asked", "n_runs", "wanted"),
    [(None, FROM - 1, False), (None, FROM, True), (True, 1, True), (True, 0, False), (False, 10 * FROM, False)],
)
def test_a_preflight_is_for_many_runs_or_for_who_asks(asked, n_runs, wanted):
    assert is_wanted(Execution(preflight=asked), n_runs) == wanted


def tried(tmp_path, monkeypatch, sizes, reasons, control=None):
    """(what is said, block and row of each run that was tried). The runs give these reasons, one after another."""
    tasks = {BlockTask("main", 2, 3 * k): n for k, n in enumerate(sizes)}
    rest = iter(reasons)
    monkeypatch.setattr(trying, "_failure", lambda layout, task, row, control: next(rest))  # the process of a run
    layout = Layout(tmp_path)
    with EventLog(layout) as events:
        said = preflight(layout, list(tasks), tasks, control or Control(), events)
    found = [(event["block"], event["row"], event["reason"]) for event in read_events(layout)]
    assert [reason or None for _, _, reason in found] == reasons[: len(found)]
    return said, [(block, row) for block, row, _ in found]


def test_three_that_fail_alike_stop_the_stage(tmp_path, monkeypatch):
    said, places = tried(tmp_path, monkeypatch, [750, 1, 750], ["no data"] * 3)
    assert places == [(0, 0), (3, 0), (6, 749)]  # run 0, 750 and 1500 of 1501
    assert said == (
        "preflight: 3 of 3 runs of stage `main` that were tried fail, alike: no data; the 1,501 runs are not started; "
        "correct the problem and submit again, or add `--no-preflight`"
    )


def test_the_first_of_different_reasons_is_said(tmp_path, monkeypatch):
    said, _ = tried(tmp_path, monkeypatch, [200], ["one", "two", "one"])
    assert said is not None
    assert "tried fail, first: one; the 200 runs" in said


@pytest.mark.parametrize("reasons", [[None], ["bad", None], ["bad", "bad", None]])
def test_one_good_run_is_enough(tmp_path, monkeypatch, reasons):
    said, places = tried(tmp_path, monkeypatch, [101], reasons)
    assert said is None
    assert places == [(0, row) for row in (0, 50, 100)[: len(reasons)]]


@pytest.mark.parametrize(("n", "rows"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2])])
def test_a_run_is_tried_once(tmp_path, monkeypatch, n, rows):
    said, places = tried(tmp_path, monkeypatch, [n], ["bad"] * n)
    assert [row for _, row in places] == rows
    assert said is not None
    assert f"preflight: {n} of {n} runs" in said


def test_a_driver_that_drains_blames_nobody(tmp_path, monkeypatch):
    control = Control()
    control.drain.set()
    assert tried(tmp_path, monkeypatch, [300], ["ended by the signal"] * 3, control) == (None, [(0, 0)])


def told(tmp_path, *entries, after="", code=0):
    path = tmp_path / "words"
    path.unlink(missing_ok=True)
    with path.open("ab", buffering=0) as file:
        words = Words(file)
        for entry in entries:
            words.say(entry)
        file.write(after.encode())
    return next(trying._told(path.read_text(), code), None)


TRACED = {"phase": "traced", "what": "p.py:line"}


def test_what_the_words_of_a_process_say(tmp_path):
    assert told(tmp_path, {"done": 0}) is None
    assert told(tmp_path, {"failed": "ValueError: no"}, {"done": 0}) == "ValueError: no"
    assert told(tmp_path) is None  # it said nothing: it cannot have been the model
    assert told(tmp_path, TRACED, code=-9) == "its process ended with code -9 while traced"
    assert told(tmp_path, TRACED, {"done": 0}, after="Ended: exit code 3\n") is None
    assert told(tmp_path, TRACED, after="Ended: exit code 3\n", code=3) == "exit code 3 while traced"
    assert told(tmp_path, TRACED, after="Timeout (0:00:05)!\n", code=1) == (
        "it did not return within its `timeout_s` while traced"
    )
    crash = 'Fatal Python error: Segmentation fault\n\nCurrent thread 0x1:\n  File "/home/me/p.py", line 7 in line\n'
    assert told(tmp_path, TRACED, after=crash, code=-11) == "segmentation fault while traced at p.py:7 in `line`"


def test_words_that_were_cut_short_say_nothing(tmp_path):
    path = tmp_path / "words"
    path.write_text(json.dumps(TRACED)[:-4])
    assert next(trying._told(path.read_text(), -9), None) is None
