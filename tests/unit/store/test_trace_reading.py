"""Steps of some runs, read chunk by chunk: against the array that was written, and against zarr-python."""

import numpy as np
import pytest
import zarr

from campaign.errors import Damage
from campaign.store.layout import Layout
from campaign.store.trace_reading import RecordedSteps
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import chunk_path, ensure_group, write_chunks

FIELD = Field(name="theta", dims=("step", "parameter"), shape=(10, 2), run_chunk=3, chunk=(4, 2), dtype="float64")
ONCE = Field(name="covariance", dims=("parameter",), shape=(2,), run_chunk=3, chunk=(2,), dtype="float64", once=True)
SPEC = TraceSpec(n_rows=7, block_size=3, fields=(FIELD, ONCE), coordinates={}, attributes={})
VALUES = np.random.default_rng(1).normal(size=(7, 10, 2))


@pytest.fixture
def group(tmp_path):
    folder = ensure_group(Layout(tmp_path), "main", "p", SPEC)
    write_chunks(folder, SPEC, [("theta", b, 0, VALUES[b : b + 3]) for b in (0, 3, 6)])
    return folder


@pytest.mark.parametrize(("first", "last"), [(0, 10), (0, 4), (3, 9), (5, 6), (8, 10)])
def test_any_rows_and_any_steps(group, first, last):
    rows = np.array([6, 0, 4, 2])
    steps = RecordedSteps.open(group, ["theta", "covariance", "unknown"], rows)
    assert set(steps.fields) == {"theta"}
    found = steps.read("theta", first, last)
    np.testing.assert_array_equal(found, VALUES[rows, first:last])
    stored = zarr.open_array(group / "theta", mode="r")
    np.testing.assert_array_equal(found, np.asarray(stored)[rows][:, first:last])


def test_a_chunk_that_is_gone_or_broken(group):
    steps = RecordedSteps.open(group, ["theta"], np.array([1, 5]))
    path = chunk_path(group, FIELD, 1, 2)  # rows 3 to 5, steps 8 and 9
    assert steps.is_complete("theta", 10)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Damage, match="cannot be read"):
        steps.read("theta", 0, 10)
    path.unlink()
    assert steps.is_complete("theta", 8)
    assert not steps.is_complete("theta", 9)
    assert np.isnan(steps.read("theta", 6, 10)[1, 2:]).all()
    assert RecordedSteps.open(group, ["theta"], np.array([1, 2])).is_complete("theta", 10)
