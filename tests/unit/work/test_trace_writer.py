"""What a block hands over, on disk: in chunks of any size, of one group of runs or of several, and taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import ensure_group
from campaign.work.trace_writer import TraceWriter

B, T, H = 6, 10, 4  # runs of a block, steps, steps handed over at once
VALUES = np.random.default_rng(2).normal(size=(2 * B, 3 * H, 2))  # two steps more than there are: nobody reads them
ONCE = np.random.default_rng(3).normal(size=(2 * B, 3))
FINE = (2, 2)


def spec_of(runs: int, steps: int) -> TraceSpec:
    shared = {"run_chunk": runs, "dtype": "float64"}
    theta = Field(name="theta", dims=("step", "parameter"), shape=(T, 2), chunk=(steps, 2), **shared)
    once = Field(name="mode", dims=("datum",), shape=(3,), chunk=(3,), once=True, **shared)
    return TraceSpec(n_rows=2 * B - 1, block_size=B, fields=(theta, once), coordinates={}, attributes={})


def writer(folder: Path, spec: TraceSpec, block: int, *, is_whole: bool = True) -> TraceWriter:
    n = B - block
    return TraceWriter.open(Layout(folder), "s", "p", spec, row_chunk=block, n_runs=n, is_whole=is_whole)


def hand_over(into: TraceWriter, rows: np.ndarray) -> None:
    """What the loop and the end of a group give: chunks of steps, then what is written once."""
    for chunk in range(3):
        into.put(chunk, rows, {"theta": VALUES[into.row + rows, H * chunk : H * chunk + H]})
    into.put(0, rows, {"mode": ONCE[into.row + rows]})


def read(folder: Path, name: str = "theta") -> np.ndarray:
    return np.asarray(zarr.open_array(Layout(folder).trace_group("s", "p") / name, mode="r")[...])


@pytest.mark.parametrize(("runs", "steps"), [(B, H), FINE, (1, H), (1, 1)])
@pytest.mark.parametrize("is_whole", [True, False])
def test_the_same_numbers_in_chunks_of_any_size(runs: int, steps: int, is_whole: bool, tmp_path: Path) -> None:
    for block in (1, 0):
        own = writer(tmp_path, spec_of(runs, steps), block, is_whole=is_whole)
        for rows in (
            [np.arange(own.n_runs)] if is_whole else [np.array([0, 3]), np.array([1, 2, 4, 5][: own.n_runs - 2])]
        ):
            hand_over(own, rows)
        own.flush()
    np.testing.assert_array_equal(read(tmp_path), VALUES[: 2 * B - 1, :T])
    np.testing.assert_array_equal(read(tmp_path, "mode"), ONCE[: 2 * B - 1])


def test_a_directory_that_was_begun_with_other_chunks_goes_on_with_those(tmp_path: Path) -> None:
    ensure_group(Layout(tmp_path), "s", "p", spec_of(B, H))  # one chunk a block and hand-over, as it was before
    own = writer(tmp_path, spec_of(*FINE), 0)
    assert [(f.run_chunk, f.chunk) for f in own.spec.fields] == [(B, (H, 2)), (B, (3,))]
    hand_over(own, np.arange(B))
    own.flush()
    np.testing.assert_array_equal(read(tmp_path)[:B], VALUES[:B, :T])
    assert (own.folder / "theta" / "c" / "0" / "2" / "0").is_file()


@pytest.mark.parametrize(("runs", "steps", "message"), [(4, 4, "chunks of 4 runs"), (2, 3, "chunks of 3 steps")])
def test_chunks_that_do_not_fit_are_refused(runs: int, steps: int, message: str, tmp_path: Path) -> None:
    ensure_group(Layout(tmp_path), "s", "p", spec_of(runs, steps))
    with pytest.raises(Damage, match=message):
        hand_over(writer(tmp_path, spec_of(*FINE), 0), np.arange(B))


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    spec = spec_of(*FINE)
    ensure_group(Layout(tmp_path), "s", "p", replace(spec, n_rows=B))
    with pytest.raises(Damage, match=r"has shape \(6, 10, 2\) on disk and \(11, 10, 2\) here"):
        writer(tmp_path, spec, 0)


@pytest.mark.parametrize(("runs", "steps"), [(B, H), FINE, (1, 1)])
def test_steps_that_are_taken_back(runs: int, steps: int, tmp_path: Path) -> None:
    own = writer(tmp_path, spec_of(runs, steps), 0)
    hand_over(own, np.arange(B))
    own.forget(np.array([0, 1, 4]))
    own.flush()
    kept = np.isin(np.arange(B), [2, 3, 5])
    np.testing.assert_array_equal(read(tmp_path)[:B][kept], VALUES[:B, :T][kept])
    assert np.isnan(read(tmp_path)[:B][~kept]).all()
    np.testing.assert_array_equal(read(tmp_path, "mode")[:B], ONCE[:B])
    if runs <= 2:
        assert not any(path.is_file() for path in (own.folder / "theta" / "c" / "0").rglob("*"))


def test_a_group_takes_back_its_own_runs_and_no_other_ones(tmp_path: Path) -> None:
    own = writer(tmp_path, spec_of(B, H), 0, is_whole=False)
    for rows in (np.array([0, 1, 2]), np.array([3, 4, 5])):
        hand_over(own, rows)
        own.forget(rows[:-1])
    own.flush()
    kept = np.isin(np.arange(B), [2, 5])
    np.testing.assert_array_equal(read(tmp_path)[:B][kept], VALUES[:B, :T][kept])
    assert np.isnan(read(tmp_path)[:B][~kept]).all()
