"""Whoever looks at a campaign while it runs may do so at any moment: no look fails, and nothing is called damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from campaign.analysis.status import Watcher
from campaign.store.layout import Layout
from running import command, here, write_manifest

MANIFEST = {
    "schema": "campaign/1",
    "name": "looked-at",
    "stages": [
        {
            "name": "first",
            "problem": {"name": "slow.py:Slow"},
            "engine": {"name": "evaluate"},
            "expand": {"grid": {"start.x": {"linspace": [0, 1, 120]}}},
            "block": 2,
        },
        {
            "name": "second",
            "problem": {"name": "slow.py:Slow"},
            "engine": {"name": "nelder-mead"},
            "expand": {"grid": {"start.x": {"linspace": [0.1, 1, 16]}}},
            "block": 2,
        },
    ],
}
LOOKS = (
    ("status",),
    ("watch", "--once"),
    ("status", "--json"),
    ("ls", "--limit", "3"),
    ("ls", "--json"),
    ("logs",),
    ("verify",),
    ("query", "select count(*) from summary"),
)
NOT_YET = 7  # exit code: it has not begun


def test_every_look_at_a_running_campaign_succeeds(tmp_path):
    shutil.copy(Path(__file__).parents[1] / "slow_problem.py", tmp_path / "slow.py")
    layout, log = Layout(tmp_path / "results"), tmp_path / "log"
    submit = command("submit", write_manifest(tmp_path, MANIFEST), "-d", layout.root, "-e", "dask", "-w", "2")
    with log.open("w") as file:
        driver = subprocess.Popen(submit, env=os.environ | {"SLOW_PAUSE_S": "0.01"}, stdout=file, stderr=file)
    while driver.poll() is None and not layout.identity.exists():
        time.sleep(0.01)
    watcher, n_looks, failed = Watcher(layout), 0, []
    while driver.poll() is None:
        for name, *options in LOOKS:
            for _ in range(10):
                watcher.status()
            found = here(name, layout.root, *options)
            n_looks += found.returncode == 0
            if found.returncode not in (0, NOT_YET):
                failed.append((name, options, found.returncode, found.stdout, found.stderr))
    assert driver.wait() == 0, log.read_text()
    assert failed == []
    assert n_looks > 20
