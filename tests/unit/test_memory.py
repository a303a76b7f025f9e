"""What is free, with cgroups of both versions, and what follows for a fit."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from campaign.memory import FreeMemory, free_memory, row_plan

GB = 10**9


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "left"),
    [
        (
            "0::/a/b\n",
            {
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "5\n",
                "sys/fs/cgroup/a/memory.max": "3000000\n",
                "sys/fs/cgroup/a/memory.current": "1000000\n",
            },
            2e6,
        ),
        (
            "4:cpu,memory:/x\n0::/\n",
            {
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "7000000\n",
                "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "8000000\n",
            },
            0.0,
        ),
        (
            "4:memory:/of/the/host\n",  # in a container its own group is the root
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "7000000\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
            },
            6e6,
        ),
    ],
)
def test_a_limit_of_a_cgroup_counts(tmp_path, groups, files, left):
    found = free_memory(machine(tmp_path, groups, files))
    assert found == FreeMemory(left, "its cgroup")


def test_without_a_limit_it_is_what_the_machine_has(tmp_path):
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000\n",
    }
    for root in (tmp_path / "none", machine(tmp_path / "some", "4:memory:/\n", files)):
        found = free_memory(root)
        assert found.source == "the machine"
        assert 0 < found.bytes <= psutil.virtual_memory().total


def test_rows_that_do_not_fit_go_by_blocks():
    free = FreeMemory(8 * GB, "the machine")
    assert row_plan(1_835_400, 9, free).strategy == "rows in memory"  # 0.6 GB
    plan = row_plan(100_000_000, 9, free)
    assert plan.strategy == "row blocks"
    assert plan.predicted == pytest.approx(32.4 * GB, rel=1e-3)
    assert plan.reason == (
        "100000000 rows and 9 parameters need about 32.4 GB at once, "
        "more than 0.75 of the 8 GB that the machine has free"
    )
    assert row_plan(1000, 2).strategy == "rows in memory"
