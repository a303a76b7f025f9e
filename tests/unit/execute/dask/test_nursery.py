"""The nursery of forked workers."""

from __future__ import annotations

import os


def test_preloading_starts_no_device_and_no_pool():
    """What a nursery imports before it forks must not have begun to compute."""
    import subprocess
    import sys

    code = (
        "from campaign.execute.dask.nursery import preload; preload(); import os; from jax._src import xla_bridge; "
        "print(len(xla_bridge._backends), len(os.listdir('/proc/self/task')))"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    backends, threads = map(int, done.stdout.split())
    assert backends == 0
    assert threads <= 2  # this one, and the allocator's of Arrow, which survives a fork
