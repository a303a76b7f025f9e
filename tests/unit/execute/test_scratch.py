"""Temporary folders, and what killed processes left in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from campaign.execute.scratch import scratch

HOLDS = """
import sys, time
from campaign.execute.scratch import scratch
with scratch(sys.argv[1]) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_in_the_temporary_folder_is_removed_by_the_next_one(tmp_path):
    held = []
    for _ in range(2):
        holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        held.append((holder, Path(holder.stdout.readline().strip())))
    (dead, left), (alive, used) = held
    dead.kill()
    dead.communicate()
    assert left.exists()
    with scratch(str(tmp_path)) as folder:
        assert not left.exists()
        assert used.exists()
    alive.kill()
    alive.communicate()
    assert not Path(folder).exists()
