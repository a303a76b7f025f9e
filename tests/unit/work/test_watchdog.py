"""The watch over runs: what it leaves when its time is up, and nothing when it is not."""

from __future__ import annotations

import subprocess
import sys

from campaign.work.watchdog import RUNNING, Hang, Watchdog, known_hangs

PROGRAM = """
import sys, time
from pathlib import Path
from campaign.work import watchdog

watchdog.GRACE_S = 0.2

def waits():
    {what}

dog = watchdog.Watchdog(Path(sys.argv[1]), 0.1)
with dog.over([0], watchdog.RUNNING):
    pass
with dog.over([3, 4], watchdog.RUNNING):
    waits()
print("came back")
dog.close()
"""


def run(tmp_path, what):
    script = tmp_path / "own.py"
    script.write_text(PROGRAM.format(what=what))
    return subprocess.run(
        [sys.executable, str(script), str(tmp_path / "0.hung")], capture_output=True, text=True, timeout=60
    )


def test_a_hang_in_python_or_in_c_leaves_its_rows_and_its_line(tmp_path):
    for what in (
        "time.sleep(600)",
        "'a' * 40 in __import__('re').sub(r'(a*)*b', '', 'a' * 40)",
    ):  # keeps the interpreter
        done = run(tmp_path, what)
        assert done.returncode == 1
        assert "came back" not in done.stdout
        (hang,) = Watchdog(tmp_path / "0.hung", 0.1).hangs
        assert hang.rows == {3, 4}
        assert "own.py:9 in `waits`" in hang.where
        assert "`timeout_s` 0.1 s: it hung while it ran at own.py:9" in hang.reason(0.1)
        (tmp_path / "0.hung").unlink()


def test_what_comes_back_leaves_nothing(tmp_path):
    done = run(tmp_path, "pass")
    assert done.stdout == "came back\n", done.stderr
    assert not (tmp_path / "0.hung").exists()


def test_a_second_hang_is_kept_beside_the_first(tmp_path):
    run(tmp_path, "time.sleep(600)")
    run(tmp_path, "time.sleep(600)")
    assert len(known_hangs(tmp_path / "0.hung")) == 2


def test_a_killed_process_leaves_no_hang(tmp_path):
    path = tmp_path / "0.hung"
    path.write_text('{"rows": [1], "phase": "it ran"}\n{"rows": [2')
    assert Watchdog(path, 1.0).hangs == ()
    assert known_hangs(tmp_path / "missing") == ()


def test_a_hang_is_that_of_rows_which_hold_it(tmp_path):
    dog = Watchdog(tmp_path / "none", 1.0, hangs=(Hang(frozenset({2}), RUNNING, ""),))
    assert dog.hang_of([1, 2, 3], RUNNING) is not None
    assert dog.hang_of([1, 3], RUNNING) is None
    assert dog.hang_of([2], "another phase") is None


def test_without_a_time_nothing_is_watched(tmp_path):
    dog = Watchdog(tmp_path / "0.hung", None)
    with dog.over([0], RUNNING):
        pass
    dog.close()
    assert not (tmp_path / "0.hung").exists()
