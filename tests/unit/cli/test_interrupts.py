"""Ctrl-C: the first drains, the second cancels, the third exits. SIGTERM drains."""

import os
import signal
import subprocess
import sys

from campaign.cli.interrupts import interruptible
from campaign.execute.base import Control


def test_first_drains_second_cancels(capsys):
    before = signal.getsignal(signal.SIGINT)
    with interruptible(Control()) as control:
        os.kill(os.getpid(), signal.SIGINT)
        assert control.drain.is_set()
        assert not control.cancel.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert control.cancel.is_set()
    assert signal.getsignal(signal.SIGINT) is before
    said = capsys.readouterr().err
    assert "draining" in said
    assert "cancelling" in said


def test_sigterm_drains(capsys):
    with interruptible(Control()) as control:
        os.kill(os.getpid(), signal.SIGTERM)
        assert control.drain.is_set()
        assert not control.cancel.is_set()


def test_the_third_exits_at_once():
    program = """
import os, signal
from campaign.cli.interrupts import interruptible
from campaign.execute.base import Control
with interruptible(Control()):
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "still here" not in done.stdout
    assert "exiting" in done.stderr


def test_the_second_ends_a_process_whose_main_thread_is_in_compiled_code():
    program = """
import ctypes, os, signal, subprocess, sys
from campaign.cli import interrupts
from campaign.execute.base import Control
interrupts.LEAVE_S = 0.2
twice = f"import os, time; [(os.kill({os.getpid()}, 2), time.sleep(0.5)) for _ in range(2)]"
with interrupts.interruptible(Control()):
    subprocess.Popen([sys.executable, "-c", twice])
    lock = ctypes.create_string_buffer(128)
    ctypes.CDLL(None).pthread_mutex_lock(lock)
    ctypes.CDLL(None).pthread_mutex_lock(lock)  # waits for ever; no handler of Python's runs
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stderr
    assert "did not return" in done.stderr
