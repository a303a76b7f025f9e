"""Rows in a file whose reading a test watches and disturbs, by the environment, which no run id knows of."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

import row_problem
from campaign.problem.rows import MappedRows
from campaign.registry import DataFile
from row_problem import RowsOnDisk, space_of


def _read(start):
    """Before a block of rows is read.

    READ: a file that gets a byte. SECONDS: how long it takes. FULL: a file; where there is none it is made, and memory
    is full. KILLED "member": the member of a gang that reads is killed.
    """
    if "READ" in os.environ:
        with open(os.environ["READ"], "ab") as file:
            file.write(b".")
    time.sleep(float(os.environ.get("SECONDS", "0")))
    if "FULL" in os.environ and not os.path.exists(os.environ["FULL"]):
        open(os.environ["FULL"], "w").close()
        raise MemoryError("no room for a row block")
    if os.environ.get("KILLED") == "member" and "gang.member" in " ".join(sys.orig_argv):
        os.kill(os.getpid(), 9)
    return start


class Watched(RowsOnDisk):
    def rows(self, start, size):
        start = jax.pure_callback(_read, jax.ShapeDtypeStruct((), jnp.int32), start, vmap_method="sequential")
        return self.source.rows(start, size)


def watched(table: Annotated[str, DataFile()]) -> Watched:
    source = MappedRows(table)
    return Watched(space_of(source.shape[1] - 1), source)


def write_watched(folder: Path, n: int, d: int) -> dict[str, str]:
    """A table of n rows and d columns, y = X (1, 2, …) + noise, and the problem beside it: what a manifest says."""
    rng = np.random.default_rng(5)
    design = rng.standard_normal((n, d))
    values = np.concatenate([design, design @ np.arange(1.0, d + 1)[:, None] + rng.standard_normal((n, 1))], axis=1)
    np.save(folder / "table.npy", values)
    for file in (__file__, row_problem.__file__):
        shutil.copy(file, folder)
    return {"name": "watched_rows.py:watched", "table": "table.npy"}
