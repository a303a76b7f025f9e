"""How arrays are cut into files: the rule by hand, its promises, and what is cut against zarr-python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import zarr

from campaign.store.layout import Layout
from campaign.store.trace_chunks import RUN_BYTES, STEP_BYTES, chunk_lengths, cut
from campaign.store.trace_metadata import stored_field
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import ensure_group, write_chunks


@pytest.mark.parametrize(
    ("block", "shape", "runs", "chunk"),
    [
        (1024, (32,), 1024, (32,)),  # loss of an optimiser: 256 kB for the whole block
        (1024, (32, 4), 1024, (32, 4)),  # theta of four parameters: 1 MiB for the whole block
        (64, (963, 32, 4), 1, (963, 32, 4)),  # a chain of 32 walkers: 0.94 MiB a run
        (64, (963, 32), 4, (963, 32)),  # its log_prob: 0.24 MiB a run
        (64, (963,), 64, (963,)),  # its loss: 7.5 KiB a run
        (8, (154, 200, 100), 1, (22, 200, 100)),  # a hand-over of 23.5 MiB a run, 22 steps are 3.36 MiB
        (1021, (149,), 1021, (149,)),  # primes: 1.16 MiB in one file rather than 1,021 of 1.2 KiB
        (7, (100, 1000), 1, (100, 1000)),  # 0.76 MiB a run
        (32, (), 32, ()),  # a number for each run
        (4, (3, 1_000_000), 1, (1, 1_000_000)),  # a step of 7.6 MiB
        (4, (0, 5), 4, (0, 5)),
    ],
)
def test_the_rule_by_hand(block: int, shape: tuple[int, ...], runs: int, chunk: tuple[int, ...]) -> None:
    assert chunk_lengths(block, shape, 8) == (runs, chunk)


def test_chunks_divide_and_are_neither_tiny_nor_huge() -> None:
    rng = np.random.default_rng(3)
    for _ in range(2000):
        block = 2 ** int(rng.integers(0, 11))
        steps, inner = 2 ** int(rng.integers(0, 12)), int(10 ** rng.uniform(0, 5))
        runs, (length, _) = chunk_lengths(block, (steps, inner), 8)
        assert block % runs == 0
        assert steps % length == 0
        size, least = 8 * runs * length * inner, min(RUN_BYTES, 8 * block * steps * inner) / math.sqrt(2)
        assert least <= size <= max(math.sqrt(2) * STEP_BYTES, 8 * inner)
        if 8 * length * inner >= math.sqrt(2) * RUN_BYTES:
            assert runs == 1


@pytest.mark.parametrize(("runs", "steps"), [(1, 1), (1, 4), (2, 2), (6, 4)])
def test_what_is_cut_is_what_zarr_reads(runs: int, steps: int, tmp_path) -> None:
    """Blocks of six runs, four steps handed over at once; the last block and the last steps are not full."""
    values = np.random.default_rng(4).normal(size=(15, 10, 3))
    numbers = np.arange(15.0)
    field = Field(name="x", dims=("step", "a"), shape=(10, 3), run_chunk=runs, chunk=(steps, 3), dtype="float64")
    number = Field(name="n", dims=(), shape=(), run_chunk=runs, chunk=(), dtype="float64", once=True)
    spec = TraceSpec(n_rows=15, block_size=6, fields=(field, number), coordinates={}, attributes={})
    group = ensure_group(Layout(tmp_path), "s", "p", spec)
    for row in (0, 6, 12):
        write_chunks(group, spec, [("n", row, 0, numbers[row : row + 6])])
        for step in (8, 0, 4):
            write_chunks(group, spec, [("x", row, step, values[row : row + 6, step : step + 4])])
    found = zarr.open_array(group / "x", mode="r")
    assert found.chunks == (runs, steps, 3)
    np.testing.assert_array_equal(np.asarray(found[...]), values)
    np.testing.assert_array_equal(np.asarray(zarr.open_array(group / "n", mode="r")[...]), numbers)
    assert stored_field(group / "x") == (15, field)
    assert stored_field(group / "y") is None
    assert sum(1 for path in (group / "x" / "c").rglob("*") if path.is_file()) == math.ceil(15 / runs) * math.ceil(
        10 / steps
    )


def test_a_piece_says_where_it_goes() -> None:
    pieces = list(cut(np.arange(12.0).reshape(3, 4), 6, 8, 2, (2,)))
    assert [(i, j, own.tolist()) for i, j, own in pieces] == [
        (3, 4, [[0, 1], [4, 5]]),
        (3, 5, [[2, 3], [6, 7]]),
        (4, 4, [[8, 9]]),
        (4, 5, [[10, 11]]),
    ]
    assert list(cut(np.zeros((3, 0)), 0, 0, 3, (1,))) == []


def test_what_is_handed_over_together_is_written_together(tmp_path) -> None:
    """A chunk is there where any array has something in its runs and steps; what is written once always is."""
    shared = {"dtype": "float64", "dims": ("step",), "shape": (8,)}
    fine = Field(name="loss", run_chunk=1, chunk=(2,), **shared)
    coarse = Field(name="damping", run_chunk=2, chunk=(4,), **shared)
    once = Field(name="n", dims=(), shape=(), run_chunk=2, chunk=(), dtype="float64", once=True)
    spec = TraceSpec(n_rows=4, block_size=4, fields=(fine, coarse, once), coordinates={}, attributes={})
    group = ensure_group(Layout(tmp_path), "s", "p", spec)
    loss, nothing = np.full((4, 4), np.nan), np.full((4, 4), np.nan)
    loss[2, :2] = 1.0  # one run of four, two steps of the four that are handed over
    write_chunks(group, spec, [("loss", 0, 4, loss), ("damping", 0, 4, nothing), ("n", 0, 0, nothing[:, 0])])
    write_chunks(group, spec, [("loss", 0, 0, nothing), ("damping", 0, 0, nothing)])
    there = {path.relative_to(group).as_posix() for path in group.rglob("c/**/*") if path.is_file()}
    assert there == {"loss/c/2/2", "damping/c/1/1", "n/c/0", "n/c/1"}
