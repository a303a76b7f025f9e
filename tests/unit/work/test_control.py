"""When work must stop."""

from __future__ import annotations

import time

import pytest

from campaign.store.layout import BlockTask
from campaign.work.control import Control, Flag, Receipt


def test_a_flag_stays_set_and_each_control_has_its_own():
    flag = Flag()
    assert not flag.is_set()
    flag.set()
    flag.set()
    assert flag.is_set()
    one, other = Control(), Control()
    one.drain.set()
    assert not one.cancel.is_set()
    assert not other.must_stop()


@pytest.mark.parametrize("name", ["drain", "cancel"])
def test_either_flag_stops(name):
    control = Control()
    getattr(control, name).set()
    assert control.must_stop()


@pytest.mark.parametrize(
    ("deadline", "stops"), [(None, False), (99.0, True), (100.0, True), (100.001, False), (0.0, True)]
)
def test_a_deadline_stops_from_its_second_on(monkeypatch, deadline, stops):
    monkeypatch.setattr(time, "time", lambda: 100.0)
    assert Control(deadline=deadline).must_stop() == stops


def test_a_receipt_says_nothing_that_it_was_not_told():
    receipt = Receipt(task=BlockTask("s", 0, 1), state="lost")
    assert (receipt.n_ok, receipt.n_failed, receipt.seconds, receipt.message) == (0, 0, 0.0, "")
