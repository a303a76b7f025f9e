"""How a driver says that a campaign ended: the first that applies of stopped, paused, incomplete, failed, done."""

from __future__ import annotations

import json

import pytest

from campaign.drive.driver import _report
from campaign.drive.report import StageReport
from campaign.drive.stage import Driver
from campaign.execute.base import Control
from campaign.manifest.load import loads
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.stop import PAUSE, StopRequest

ONE = {"name": "one", "problem": {"name": "decay"}, "engine": {"name": "evaluate"}}
PAUSED = StopRequest(mode=PAUSE, reason="", asked_at=0.0, by="somebody")


def stage(name, n_failed=0, n_pending=0):
    counts = {"n_runs": 10, "n_new": 10, "n_removed": 0, "n_ok": 10 - n_failed - n_pending, "n_pending": n_pending}
    return StageReport(stage=name, n_failed=n_failed, seconds=1.0, **counts)


@pytest.mark.parametrize(
    ("reports", "is_stopped", "is_paused", "state"),
    [
        ([stage("one"), stage("two")], False, False, "done"),
        ([stage("one", n_failed=1), stage("two")], False, False, "failed"),
        ([stage("one")], False, False, "incomplete"),  # the second stage was not reached
        ([stage("one", n_failed=3)], False, False, "incomplete"),
        ([stage("one"), stage("two", n_failed=1, n_pending=1)], False, False, "incomplete"),
        ([], False, False, "incomplete"),
        ([stage("one", n_pending=1)], False, True, "paused"),
        ([stage("one"), stage("two")], False, True, "done"),  # the request came when all was done
        ([stage("one", n_pending=1)], True, True, "stopped"),
        ([stage("one"), stage("two", n_failed=9)], True, False, "stopped"),  # by its last block
    ],
)
def test_the_state_of_a_campaign(tmp_path, reports, is_stopped, is_paused, state):
    text = json.dumps({"schema": "campaign/1", "name": "t", "stages": [ONE, ONE | {"name": "two"}]})
    manifest, layout = loads(text, source="t.json"), Layout(tmp_path)
    driver = Driver(layout, manifest, manifest.execution, Control(), EventLog(layout), None, {})
    driver.reports, driver.is_stopped, driver.paused = reports, is_stopped, PAUSED if is_paused else None
    report = _report(driver)
    assert report.state == state
    assert [own.stage for own in report.stages] == [own.stage for own in reports]
