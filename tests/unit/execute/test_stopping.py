"""When a worker stops: signals, requests on disk, and the clock."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from campaign.execute.stopping import END_TIME, MARGIN_S, worker_control
from campaign.store.layout import Layout
from campaign.store.stop import DRAIN, clear_stop, request_stop

STOPPED = """
import time
from campaign.execute.stopping import is_signalled, stop_on_signals
stop_on_signals()
print("ready", flush=True)
until = time.monotonic() + 1.0
while time.monotonic() < until:
    pass
print(is_signalled(), flush=True)
"""


def test_signals_that_come_together_do_not_stand_in_each_others_way():
    worker = subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "ready\n"
    for _ in range(6000):
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGUSR1)
    try:
        assert worker.communicate(timeout=20) == ("True\n", None)
    finally:
        worker.kill()
    assert worker.returncode == 0


def test_a_worker_stops_for_the_disk_and_for_the_clock(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    monkeypatch.delenv(END_TIME, raising=False)
    control = worker_control(layout)
    assert control.deadline is None
    assert not control.must_stop()
    request_stop(layout, DRAIN, "test")
    control.looked_at -= 10
    assert control.must_stop()
    clear_stop(layout)
    monkeypatch.setenv(END_TIME, str(time.time() + MARGIN_S + 1000))
    assert not worker_control(layout).must_stop()
    assert worker_control(layout, time.time() - 1).must_stop()
    monkeypatch.setenv(END_TIME, str(time.time() + MARGIN_S - 1))
    assert worker_control(layout).must_stop()
    assert "time is up" in worker_control(layout).why()


def test_a_worker_begins_nothing_that_would_not_end_in_time(tmp_path, monkeypatch):
    """What passed between the last two questions cannot be interrupted, and passes again."""
    monkeypatch.delenv(END_TIME, raising=False)
    control = worker_control(Layout(tmp_path), time.time() + 50)
    assert not control.must_stop()
    control.asked_at -= 20
    assert not control.must_stop()
    assert control.stretch_s == pytest.approx(20, abs=1)
    control.asked_at -= 60
    assert control.must_stop()
    assert "time is up" in control.why()
