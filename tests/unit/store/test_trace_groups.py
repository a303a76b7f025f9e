"""A declaration says all that its group does; one of an earlier version takes the rest from the arrays."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr

from campaign.store.layout import Layout
from campaign.store.trace_groups import declared_arrays, declared_field, declared_spec, with_run_chunks
from campaign.store.trace_metadata import group_files, stored_field
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import ensure_group, write_chunks

THETA = Field(name="theta", dims=("step", "parameter"), shape=(9, 2), run_chunk=2, chunk=(3, 2), dtype="float64")
MODE = Field(name="mode", dims=("datum",), shape=(3,), run_chunk=6, chunk=(3,), dtype="float32", unit="m", once=True)
ATTRIBUTES = {"stage": "s", "program": "p", "problem": "line", "engine": "trf"}
ENTRY = {"n_rows": 9, "block_size": 6, "problem": {"name": "line"}, "engine": {"name": "trf"}}
RUN_IDS = np.array([f"{i:032x}" for i in range(9)])


def spec_of(has_checksum: bool = True) -> TraceSpec:
    coordinates = {"run_id": (("run",), RUN_IDS, ""), "datum": (("datum",), np.arange(3.0), "s")}
    fields = tuple(replace(field, has_checksum=has_checksum) for field in (THETA, MODE))
    return TraceSpec(n_rows=9, block_size=6, fields=fields, coordinates=coordinates, attributes=ATTRIBUTES)


@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_group_follows_from_its_declaration(has_checksum: bool) -> None:
    declared = json.loads(json.dumps(declared_arrays(spec_of(has_checksum))))
    assert group_files(declared_spec(declared, ENTRY, "s", "p", RUN_IDS)) == group_files(spec_of(has_checksum))


@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_checksum_goes_with_every_chunk(has_checksum: bool, tmp_path) -> None:
    """Whatever the runs of a chunk: what is stored says so, and zarr-python checks it."""
    group = ensure_group(Layout(tmp_path), "s", "p", spec_of(has_checksum))
    values = np.random.default_rng(5).normal(size=(6, 9, 2))
    write_chunks(group, spec_of(has_checksum), [("theta", 0, 0, values)])
    assert stored_field(group / "theta") == (9, replace(THETA, has_checksum=has_checksum))
    path = group / "theta" / "c" / "2" / "1" / "0"
    np.testing.assert_array_equal(np.asarray(zarr.open_array(group / "theta", mode="r")[:6]), values)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    if has_checksum:
        with pytest.raises(ValueError, match="checksum"):
            zarr.open_array(group / "theta", mode="r")[4:6]


def test_a_declaration_of_an_earlier_version(tmp_path) -> None:
    """It says neither how many runs a chunk holds nor of checksums: the array tells, else it is a block."""
    declared = {
        "trace": {"theta": {"dims": ["step", "parameter"], "shape": [9, 2], "chunk": [3, 2], "dtype": "float64"}}
    }
    group = Layout(tmp_path).trace_group("s", "p")
    old = declared_field("theta", with_run_chunks(declared, group), 6)
    assert old == replace(THETA, run_chunk=6, has_checksum=False)
    ensure_group(Layout(tmp_path), "s", "p", spec_of(False))
    assert declared_field("theta", with_run_chunks(declared, group), 6) == replace(THETA, has_checksum=False)
    (group / "theta" / "zarr.json").write_text("{")
    assert declared_field("theta", with_run_chunks(declared, group), 6) == old
