"""What a process leaves when people's code ends it: the call, how it ended, and the line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from campaign.last_words import endings, note_end, unfinished

PROGRAM = """
import ctypes, os, sys, time
from campaign.last_words import Words

def own():
    {what}

words = Words(open(sys.argv[1], "ab", buffering=0))
with words.over({{"call": "first"}}):
    pass
with words.over({{"call": "outer"}}):
    with words.over({{"call": "inner"}}, {seconds}):
        own()
    print("came back")
print("is whole", os._exit.__module__)
"""


def run(tmp_path, what, seconds=None):
    script, path = tmp_path / "own.py", tmp_path / "words"
    script.write_text(PROGRAM.format(what=what, seconds=seconds))
    done = subprocess.run([sys.executable, str(script), str(path)], capture_output=True, text=True, timeout=60)
    return done, path


@pytest.mark.parametrize(
    ("what", "seconds", "how"),
    [
        ("os._exit(3)", None, "exit code 3"),
        ("ctypes.string_at(0)", None, "segmentation fault"),
        ("os.abort()", None, "aborted"),
        ("time.sleep(60)", 0.2, ""),
    ],
)
def test_an_end_is_told_with_its_line(tmp_path, what, seconds, how):
    done, path = run(tmp_path, what, seconds)
    assert "came back" not in done.stdout
    assert [entry["call"] for entry in unfinished(path.read_text())] == ["outer", "inner"]
    (ending,) = endings(path.read_text())
    assert (ending.entry["call"], ending.how, ending.where) == ("inner", how, " at own.py:6 in `own`")


def test_what_comes_back_leaves_nothing(tmp_path):
    done, path = run(tmp_path, "pass", 60)
    assert done.stdout.splitlines() == ["came back", "is whole posix"]
    assert path.read_bytes() == b""


def test_an_end_without_a_word_is_told_by_whoever_waited(tmp_path):
    _, path = run(tmp_path, "ctypes.CDLL(None)._exit(7)")  # as STOP in a Fortran library
    assert list(endings(path.read_text())) == []
    assert note_end(path, "left with exit code 7")
    (ending,) = endings(path.read_text())
    assert (ending.entry["call"], ending.how, ending.where) == ("inner", "left with exit code 7", "")
    assert not note_end(path, "again")
    assert not note_end(tmp_path / "missing", "again")


def test_a_child_of_such_code_may_leave(tmp_path):
    done, path = run(tmp_path, "os.fork() or os._exit(0); os.wait()")
    assert "came back" in done.stdout
    assert path.read_bytes() == b""
