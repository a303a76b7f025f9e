"""What a worker knows of a block from its plan."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from campaign.data import sha256
from campaign.drive.next_part import planned
from campaign.errors import Damage, DataFileError
from campaign.manifest.load import loads
from campaign.registry import PROBLEMS, load
from campaign.store import plan as plans
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import Same
from campaign.work.planned_block import (
    _values,
    is_varying,
    load_block,
    problem_plugin,
    recipe_of,
    time_text,
    verify_inputs,
)

TEXT = {
    "schema": "campaign/1",
    "name": "t",
    "seed": 7,
    "problem": {"name": "decay", "n": 5, "free": ["rate"]},
    "engine": {"name": "trf", "max_steps": 30},
    "start": {"offset": 0.5},
    "expand": {"list": [{"start.rate": 1.0, "problem.sigma": 0.1}, {"start.rate": 2.0}, {"start.offset": 3.0}]},
    "replicates": 2,
    "block": 4,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("planned"))
    manifest = loads(json.dumps(TEXT), source="t.json")
    plans.write_part(layout, planned(layout, manifest, manifest.stages[0]))
    return layout


def block(layout, number=0):
    return load_block(layout, BlockTask("main", 0, number), str(layout.root))


def test_a_block_has_its_rows_in_order(layout):
    first, last = block(layout), block(layout, 1)
    rows = plans.read_rows(layout, "main", 0).to_pylist()
    assert [*first.run_ids, *last.run_ids] == [row["run_id"] for row in rows]
    assert (first.first_row, last.first_row) == (0, 4)
    assert (first.row_chunk, last.row_chunk) == (0, 1)
    assert first.seed == 7
    assert list(first.columns["start.rate"]) == [1.0, 1.0, 2.0, 2.0]
    assert first.columns["problem.sigma"][:2] == [0.1, 0.1]


def test_what_does_not_differ_is_in_the_recipe(layout):
    recipe = block(layout).recipe
    assert recipe.engine_options["max_steps"] == 30
    assert "name" not in recipe.engine_options
    assert "name" not in recipe.problem_options
    assert (recipe.free, recipe.seed, recipe.capacity, recipe.precision) == (("rate",), 7, 4, "float64")
    assert recipe.start["offset"] == 0.5


def test_one_run_alone_keeps_its_row(layout):
    whole = block(layout)
    one = whole.only(whole.run_ids[2])
    assert list(one.run_ids) == [whole.run_ids[2]]
    assert one.first_row == 2
    assert one.row_chunk == 0
    assert {len(values) for values in one.columns.values()} == {1}
    assert one.columns["start.rate"][0] == 2.0
    with pytest.raises(ValueError, match="not in list"):
        whole.only("0" * 32)


def test_metas_say_how_to_repeat_each_run(layout):
    own = block(layout)
    metas = own.metas({"jax": "1"}, {1: {"rate": 9.0, "offset": 0.5}})
    assert [meta["run_id"] for meta in metas] == list(own.run_ids)
    assert [meta["row"] for meta in metas] == [0, 1, 2, 3]
    assert metas[0]["problem"]["sigma"] == 0.1
    assert metas[2]["problem"].get("sigma") != 0.1  # the program's, where the row says nothing
    assert metas[0]["start"] == {"rate": 1.0, "offset": 0.5}
    assert metas[1]["start"] == {"rate": 9.0, "offset": 0.5}  # what was built comes before what was asked
    assert metas[0]["axes"] == {"start.rate": 1.0, "problem.sigma": 0.1}
    assert metas[2]["axes"] == {"start.rate": 2.0}
    assert metas[0]["versions"] == {"jax": "1"}
    assert metas[0]["free"] == ["rate"]
    json.dumps(metas, allow_nan=False)  # plain numbers


def test_labels_are_columns_only_where_there_are_some(layout):
    own = block(layout)
    assert own.identities()["label"] == Same(None)
    assert list(own.identities()["replicate"]) == [0, 1, 0, 1]


def test_a_block_that_the_plan_lacks_is_damage(layout):
    with pytest.raises(Damage, match="plan main/0 has no block 2") as caught:
        block(layout, 2)
    assert caught.value.hint == "run `campaign verify`"


def test_columns_are_arrays_where_all_runs_have_numbers():
    assert isinstance(_values(pa.chunked_array([[1.0, 2.0]])), np.ndarray)
    assert isinstance(_values(pa.chunked_array([[1], [2]])), np.ndarray)
    for other in ([[1.0, None]], [["a", "b"]], [[True, False]]):
        assert _values(pa.chunked_array(other)) == other[0]
    assert _values(pa.chunked_array([[True]]))[0] is True


def test_an_axis_varies_where_the_header_says_so():
    header = {"axes": {"a": {"varying": True}, "b": {"varying": False}}}
    assert [is_varying(header, name) for name in "abc"] == [True, False, False]


def test_nothing_free_is_not_the_problems_choice():
    entry = {"problem": {"name": "decay"}, "engine": {"name": "trf"}, "block_size": 1}
    problem = load(PROBLEMS, "decay")
    assert recipe_of(entry, 0, problem).free is None
    assert recipe_of(entry | {"free": None}, 0, problem).free is None
    assert recipe_of(entry | {"free": []}, 0, problem).free == ()
    assert problem_plugin(Layout("/").root, entry) is problem


def test_input_files_are_those_that_were_planned(tmp_path):
    (tmp_path / "d.csv").write_text("1")
    entry = {"inputs": {"d.csv": {"path": "d.csv", "sha256": sha256(tmp_path / "d.csv")}}}
    verify_inputs(entry, tmp_path)
    verify_inputs({"inputs": None}, tmp_path)
    (tmp_path / "d.csv").write_text("2")
    with pytest.raises(DataFileError, match=r"d\.csv"):
        verify_inputs(entry, tmp_path)


def test_times_are_utc_to_the_millisecond():
    assert time_text(0.0) == "1970-01-01T00:00:00.000+00:00"
    assert time_text(1_000_000_000.0005) == "2001-09-09T01:46:40.000+00:00"
