"""A process that ends inside a long pass over rows: what was summed is not computed again, and bits are the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

import row_problem
from campaign.store.events import read_events
from campaign.store.layout import Layout
from running import assert_same, campaign, command, table

N, D = 6_000, 3
CHUNK = 500  # 12 row blocks
PROBLEM = '''
import os
import time
from typing import Annotated

import jax
import jax.numpy as jnp

from campaign.problem.rows import MappedRows
from campaign.registry import DataFile
from row_problem import RowsOnDisk, space_of


def _read(start):
    """Count the row blocks that are read, and take long where a test wants it."""
    with open(os.environ["READ"], "ab") as file:
        file.write(b".")
    time.sleep(float(os.environ.get("SECONDS", "0")))
    return start


class Counted(RowsOnDisk):
    def rows(self, start, size):
        start = jax.pure_callback(_read, jax.ShapeDtypeStruct((), jnp.int32), start, vmap_method="sequential")
        return self.source.rows(start, size)


def counted(table: Annotated[str, DataFile()]) -> Counted:
    source = MappedRows(table)
    return Counted(space_of(source.shape[1] - 1), source)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pass")
    rng = np.random.default_rng(5)
    design = rng.standard_normal((N, D))
    values = np.concatenate([design, design @ np.arange(1.0, D + 1)[:, None] + rng.standard_normal((N, 1))], axis=1)
    np.save(folder / "table.npy", values)
    (folder / "counted.py").write_text(PROBLEM)
    shutil.copy(row_problem.__file__, folder)
    document = {
        "schema": "campaign/1",
        "name": "pass",
        "problem": {"name": "counted.py:counted", "table": "table.npy"},
        "engine": {"name": "trf", "chunk": CHUNK},
        "trace": False,
        "execution": {"executor": "inline"},
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder


def n_read(folder, name):
    return len((folder / f"{name}.read").read_bytes())


@pytest.fixture(scope="module")
def whole(folder):
    """The table of a fit that nobody disturbs, and the row blocks that it read."""
    done = campaign("submit", folder / "manifest.json", "-d", folder / "whole", READ=str(folder / "whole.read"))
    assert done.returncode == 0, done.stderr
    return table(folder / "whole"), n_read(folder, "whole")


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_pass_goes_on_where_a_process_ended(folder, whole, how):
    expected, n_whole = whole
    place, read = folder / how.name, folder / f"{how.name}.read"
    submit = command("submit", folder / "manifest.json", "-d", place)
    driver = subprocess.Popen(submit, env=os.environ | {"READ": str(read), "SECONDS": "1.0"})
    kept = Layout(place).passes("main", 0, 0)
    until = time.monotonic() + 240
    while not (found := list(place.glob("checkpoints/*/*.passes"))) or found[0].stat().st_size == 0:
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    driver.send_signal(how)
    assert driver.wait(timeout=120) == (-signal.SIGKILL if how == signal.SIGKILL else 7)
    assert found[0].name == kept.name
    assert not list(place.glob("checkpoints/*/*.npz"))  # the fit is in its first chunk of steps
    before = n_read(folder, how.name)
    done = campaign("resume", place, READ=str(read))
    assert done.returncode == 0, done.stderr
    assert_same(table(place), expected)
    again = n_read(folder, how.name) - before
    assert n_whole - before <= again <= n_whole - 4  # a round has four row blocks at first
    if how == signal.SIGINT:
        assert again == n_whole - before  # nothing twice
        assert "block_interrupted" in [event["event"] for event in read_events(Layout(place))]
    assert not list(place.glob("checkpoints/*/*"))
