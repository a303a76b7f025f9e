"""Job scripts: durations, logs, prologues."""

from __future__ import annotations

import subprocess

import pytest

from campaign.execute.queue.profiles import Profile
from campaign.execute.queue.scripts import duration, log_option, render


@pytest.mark.parametrize(
    ("seconds", "text"), [(60, "0-00:01:00"), (61, "0-00:02:00"), (86400, "1-00:00:00"), (90061, "1-01:02:00")]
)
def test_durations_are_whole_minutes_and_never_shorter(seconds, text):
    assert duration(seconds) == text


def test_a_log_may_lie_in_any_folder(tmp_path):
    assert log_option(tmp_path / "a b" / "100%j", "x-%j") == f'--output="{tmp_path}/a b/100%%j/x-%j.log"'
    assert log_option(tmp_path, "x-%a") == f"--output={tmp_path}/x-%a.log"


def test_a_prologue_runs_as_in_a_login_shell_and_what_fails_is_said(tmp_path):
    """Shell start-up files of sites use names that are not set, and commands that fail; a signal before Python is
    there must not end the job."""
    (tmp_path / "bashrc").write_text('[ -z "$BASHRCSOURCED" ] && BASHRCSOURCED=Y\n[ -n "$QUOTA" ]\nfalse\ntrue\n')
    lines = [f"source {tmp_path}/bashrc", "module load nonesuch", "export SEEN=$UNSET$BASHRCSOURCED", "kill -USR1 $$"]
    profile = Profile(prologue=lines)
    script = render([], profile, profile.worker, ["bash", "-c", "echo seen $SEEN"], computes=True)
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(["bash", tmp_path / "job.sh"], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "seen Y\n")
    assert "prologue: module load nonesuch: exit code 127" in done.stderr
    assert "QUOTA" not in done.stderr
