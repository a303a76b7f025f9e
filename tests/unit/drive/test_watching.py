"""Why a driver stopped, in words, and which requests pause it."""

import time

from campaign.drive.watching import DRAINS, pause_requested, why_stopped
from campaign.execute.base import Control
from campaign.store.layout import Layout
from campaign.store.stop import CANCEL, DRAIN, PAUSE, clear_stop, request_stop


def test_the_reason_is_the_first_that_applies(tmp_path):
    layout, control = Layout(tmp_path), Control()
    assert why_stopped(layout, control) == "stopped before the end"
    control.drain.set()
    assert why_stopped(layout, control) == "interrupted"
    request_stop(layout, DRAIN, DRAINS)  # by the driver itself: nobody asked
    assert why_stopped(layout, control) == "interrupted"
    request_stop(layout, DRAIN, "lunch")
    assert why_stopped(layout, control).startswith("drained by ")
    request_stop(layout, CANCEL, "wrong data")
    assert why_stopped(layout, control).startswith("cancelled by ")
    control.deadline = time.time() - 1.0
    assert why_stopped(layout, control) == "the time of the driver's job is up"


def test_only_a_request_to_pause_pauses(tmp_path):
    layout = Layout(tmp_path)
    assert pause_requested(layout) is None
    request_stop(layout, DRAIN, "")
    assert pause_requested(layout) is None
    request_stop(layout, PAUSE, "")
    request = pause_requested(layout)
    assert request is not None
    assert request.mode == PAUSE
    clear_stop(layout)
    assert pause_requested(layout) is None
