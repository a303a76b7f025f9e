"""Places where a campaign cannot write: a full disk, a read-only folder; and two submissions at once."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from running import TWO_STAGES, assert_same, campaign, command, here, table, write_manifest

SMALL = TWO_STAGES | {"stages": [TWO_STAGES["stages"][0]]}


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "campaign-test", str(folder)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_clearly_and_resume_goes_on(tmp_path: Path, small_disk: Path) -> None:
    manifest = write_manifest(tmp_path, SMALL)
    stopped = campaign("submit", manifest, "-d", small_disk / "c", "--executor", "inline")
    assert stopped.returncode == 6, stopped.stderr
    assert f"no space left where {small_disk}/c/" in stopped.stderr
    assert "campaign resume" in stopped.stderr
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    done = campaign("resume", small_disk / "c", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    reference = campaign("submit", manifest, "-d", tmp_path / "reference", "--executor", "inline")
    assert reference.returncode == 0, reference.stderr
    assert_same(table(small_disk / "c"), table(tmp_path / "reference"))


def test_a_read_only_place_is_refused(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = campaign("submit", write_manifest(tmp_path, SMALL), "-d", small_disk / "c", "--executor", "inline")
    assert refused.returncode == 6
    assert "cannot write" in refused.stderr
    assert "-d" in refused.stderr


def test_two_submissions_at_once(tmp_path: Path) -> None:
    manifest, directory = write_manifest(tmp_path, SMALL), tmp_path / "c"
    start = command("submit", manifest, "-d", directory, "--executor", "inline")
    drivers = [
        subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    endings = []
    for driver in drivers:
        _, errors = driver.communicate(timeout=300)
        endings.append((driver.returncode, errors))
    codes = sorted(code for code, _ in endings)
    assert codes[0] == 0
    assert set(codes) <= {0, 8}, endings
    for code, errors in endings:
        if code == 8:
            assert "process" in errors  # who holds it
    time.sleep(0.1)
    assert here("verify", directory).returncode == 0
    assert len(table(directory)) == 256
