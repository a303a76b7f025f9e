"""A time limit on code of somebody else."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from campaign.time_limit import OutOfTime, time_limit


def test_what_does_not_come_back_is_ended():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(OutOfTime), time_limit(0.05):
        time.sleep(30)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_comes_back_is_left_alone():
    with time_limit(0.05):
        pass
    time.sleep(0.1)
    with time_limit(None):
        pass


def test_in_another_thread_there_is_no_limit():
    done = []

    def work():
        with time_limit(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
