"""Arrays of a block in memory: put together over chunks and groups of runs, cut at each run's last step."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.store.layout import BlockTask, Layout
from campaign.store.states import Kept
from campaign.store.trace_spec import Field, TraceSpec
from campaign.work.desk import DiskDesk, MemoryDesk, MemoryOutput

N, H = 5, 4  # runs; steps handed over at once
SHARED = {"run_chunk": N}
LOSS = Field(name="loss", dims=("step",), shape=(10,), chunk=(H,), dtype="float64", **SHARED)
COUNT = Field(name="count", dims=("step",), shape=(10,), chunk=(H,), dtype="int32", **SHARED)
JOINED = Field(name="grid", dims=("point", "parameter"), shape=(10, 2), chunk=(H, 2), dtype="float64", **SHARED)
ONCE = Field(name="mode", dims=("datum",), shape=(3,), chunk=(3,), dtype="float64", once=True, **SHARED)
SPEC = TraceSpec(n_rows=N, block_size=N, fields=(LOSS, COUNT, JOINED, ONCE), coordinates={}, attributes={})


def output() -> MemoryOutput:
    desk = MemoryDesk()
    found = desk.open(SPEC, row_chunk=0, n_runs=N, is_whole=True)
    assert desk.output is found
    return found


def steps(rows: np.ndarray, chunk: int) -> np.ndarray:
    """100 · row + step, one more lane than there are runs."""
    return np.append(100.0 * rows, -7.0)[:, None] + H * chunk + np.arange(H)


@pytest.mark.parametrize("groups", [[[0, 1, 2, 3, 4]], [[1, 3], [0, 4], [2]]])
def test_chunks_of_groups_become_the_array_of_each_run(groups):
    out = output()
    for rows in map(np.array, groups):
        for chunk in (1, 0, 2):  # in whatever order
            out.put(chunk, rows, {"loss": steps(rows, chunk), "grid": np.dstack([steps(rows, chunk)] * 2)})
        out.put(0, rows, {"mode": np.repeat(np.append(rows, 9.0)[:, None], 3, axis=1)})
    for row in range(N):
        np.testing.assert_array_equal(out.of(row, "loss", 6), 100.0 * row + np.arange(6))
        assert len(out.of(row, "loss", 0)) == 0
        assert len(out.of(row, "loss", 99)) == 3 * H  # what was handed over is all that there is
        assert out.of(row, "grid", 6).shape == (3 * H, 2)  # joined along the data: never cut
        np.testing.assert_array_equal(out.of(row, "mode", 1), [row] * 3)


def test_runs_of_which_nothing_was_put_are_filled():
    out = output()
    out.put(0, np.array([1, 3]), {"loss": np.ones((2, H)), "count": np.ones((2, H), np.int32)})
    assert np.isnan(out.of(0, "loss", H)).all()
    assert out.of(0, "count", H).tolist() == [-1] * H
    assert out.of(3, "count", H).tolist() == [1] * H


def test_a_field_of_which_no_chunk_came_is_empty_and_has_its_type():
    found = output().of(2, "grid", 4)
    assert (found.shape, found.dtype) == ((0, 2), np.float64)
    assert output().of(2, "count", 4).dtype == np.int32


def test_memory_has_no_past():
    desk = MemoryDesk()
    desk.save([np.ones(2)], 3)
    assert desk.load() is None
    assert desk.is_described()  # nobody reads it


def test_a_desk_on_disk_keeps_what_belongs_to_its_block(tmp_path):
    layout = Layout(tmp_path)
    one, other = (DiskDesk(layout=layout, task=BlockTask("s", 1, k), program="p") for k in (2, 3))
    assert one.load() is None
    one.save([np.array([1.5]), np.arange(3)], 7)
    leaves, chunk = one.load() or ((), -1)
    assert chunk == 7
    assert [leaf.tolist() for leaf in leaves] == [[1.5], [0, 1, 2]]
    assert other.load() is None
    assert not one.is_described()
    one.describe({"schema": "campaign.program/1"})
    assert other.is_described()  # it is the program's
    assert not DiskDesk(layout=layout, task=one.task, program="q").is_described()
    one.keep(Kept(rows=np.arange(1), is_spent=np.ones(1, bool), chunk_steps=1, leaves=[]))
    assert layout.state("s", 1, 2).exists()
