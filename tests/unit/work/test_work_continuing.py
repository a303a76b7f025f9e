"""The state of a block from the kept states of those that its runs were in, whatever their order."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from campaign.engines.outcome import Outcome
from campaign.engines.programs import shapes_for
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.store.layout import BlockTask, Layout
from campaign.store.plan import NO_ROW
from campaign.store.states import Kept, save
from campaign.store.trace_policy import TracePolicy
from campaign.work.building import build_block
from campaign.work.continuing import _leaves, continued
from campaign.work.planned_block import PlannedBlock
from campaign.work.recipe import Recipe
from planting import Planting, plant, publish_traces

ENTRY = {"block_size": 4, "part": 1, "first_block": 6}
DONE, RUNNING, ERROR, BUDGET = (int(Outcome[name]) for name in ("CONVERGED", "RUNNING", "ERROR", "BUDGET"))


@pytest.fixture
def layout(tmp_path):
    """Two old blocks of four rows; row r has position 10 r, has done 100 steps, and is spent where r is even. Of the
    second block row 6 was not kept."""
    layout = Layout(tmp_path)
    for number, rows in enumerate(([0, 1, 2, 3], [0, 1, 3])):
        row = 4 * number + np.array(rows)
        outcome = np.where(row % 2, DONE, BUDGET).astype(np.int32)
        leaves = [10.0 * row[:, None] + np.arange(2), np.full(len(row), 100, np.int32), outcome]
        kept = Kept(rows=np.array(rows), is_spent=row % 2 == 0, chunk_steps=32, leaves=leaves)
        save(layout, BlockTask("s", 1, 6 + number), kept)
    return layout


def leaves(layout, rows, capacity=4, chunk_steps=None, **entry):
    return _leaves(layout, "s", ENTRY | entry, np.array(rows), capacity, chunk_steps)


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [7, 0, 5, 2], [4, 3]])
def test_each_run_gets_its_own_state(layout, rows):
    found = leaves(layout, rows)
    assert found is not None
    state, n_steps, outcome = found
    np.testing.assert_array_equal(state[: len(rows)], 10.0 * np.array(rows)[:, None] + np.arange(2))
    assert n_steps.tolist() == [100] * 4
    assert (state.dtype, outcome.dtype) == (np.float64, np.int32)
    spent = [RUNNING if row % 2 == 0 else DONE for row in rows]  # what converged stays as it ended
    assert outcome.tolist() == spent + [ERROR] * (4 - len(rows))  # lanes of padding have ended


def test_nothing_is_continued_where_one_state_is_missing(layout):
    assert leaves(layout, [0, 6]) is None  # a row that was not kept
    assert leaves(layout, [0, 8]) is None  # a block that was not
    assert leaves(layout, [0], first_block=5) is None
    assert leaves(layout, [0], part=0) is None


def test_chunks_matter_where_the_engine_prepares_them(layout):
    assert leaves(layout, [0, 5], chunk_steps=32) is not None
    assert leaves(layout, [0, 5], chunk_steps=16) is None


FIT = Planting(n_runs=10, block_size=4)  # its arrays hold 5 steps of each run: loss = run + step
PROGRAM = FIT.program_name(0)
IDS = [f"{i:032x}" for i in range(3)]


def group():
    recipe = Recipe(
        problem=load(PROBLEMS, "decay"), engine=load(ENGINES, "trf"), problem_options={"n": 5},
        engine_options={"chunk_steps": 4}, start={}, scale={}, free=None, seed=0, capacity=4,
    )  # fmt: skip
    (found,) = build_block(recipe, {}, IDS, strict=True).groups
    return found, recipe


@pytest.fixture(scope="module")
def built():
    own, recipe = group()
    return own, recipe, shapes_for(own.batch)


@pytest.fixture
def planted(tmp_path):
    """Rows 0 … 7 stand at step 5, spent; their traces are there."""
    layout = plant(tmp_path, FIT)
    publish_traces(layout, FIT)
    for number in range(2):
        leaves = [np.zeros((4, 2)), np.full(4, 5, np.int32), np.full(4, BUDGET, np.int32)]
        kept = Kept(rows=np.arange(4), is_spent=np.ones(4, bool), chunk_steps=4, leaves=leaves)
        save(layout, BlockTask("fit", 0, number), kept)
    return layout


def goes_on(layout, built, rows, recorded=("loss",), policy=None, *, says=True):
    own, recipe, shapes = built
    entry = {"program": PROGRAM, "block_size": 4, "part": 0, "first_block": 0}
    header = {"continues": entry} if says else {}
    block = PlannedBlock(
        task=BlockTask("fit", 1, 0), program="p", header=header, recipe=recipe, run_ids=IDS, first_row=0, seed=0,
        columns={"old_row": rows} if rows is not None else {}, trace=policy or TracePolicy(),
    )  # fmt: skip
    return continued(layout, block, own, shapes, recorded)


def test_a_block_goes_on_with_the_steps_that_were_recorded(planted, built):
    found = goes_on(planted, built, [6, 0, 3])
    assert found is not None
    assert found.leaves[-1].tolist() == [RUNNING] * 3 + [ERROR]
    first, second = (found.trace(chunk) for chunk in (0, 1))
    steps = np.array([6, 0, 3])[:, None] + np.arange(5)
    np.testing.assert_array_equal(first["loss"][:3], steps[:, :4])
    np.testing.assert_array_equal(second["loss"][:3, 0], steps[:, 4])
    assert np.isnan(second["loss"][:, 1:]).all()  # those are still to do
    assert np.isnan(first["loss"][3]).all()  # padding
    shapes = built[2]
    assert {name: values.shape for name, values in first.items()} == {k: v.shape for k, v in shapes.info.items()}


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": None},
        {"says": False},
        {"rows": [0, NO_ROW, 1]},  # one run is new
        {"rows": [0, 8, 1]},  # no state of its block is kept
        {"recorded": ("loss", "damping")},  # an array that was not recorded
        {"policy": TracePolicy(every=2)},
        {"policy": TracePolicy(runs="first")},
    ],
)
def test_everything_must_be_there(planted, built, changes):
    assert goes_on(planted, built, **({"rows": [0, 1, 2]} | changes)) is None


def test_nothing_recorded_needs_no_traces(planted, built):
    shutil.rmtree(planted.traces)
    assert goes_on(planted, built, [0, 1, 2]) is None
    assert goes_on(planted, built, [0, 1, 2], recorded=(), policy=TracePolicy(every=2)) is not None


def test_runs_that_stand_at_different_steps_do_not_go_on_together(planted, built):
    leaves = [np.zeros((4, 2)), np.array([5, 5, 4, 4], np.int32), np.full(4, BUDGET, np.int32)]
    for is_spent, goes in (([True, True, True, True], False), ([True, True, False, False], True)):
        kept = Kept(rows=np.arange(4), is_spent=np.array(is_spent), chunk_steps=4, leaves=leaves)
        save(planted, BlockTask("fit", 0, 0), kept)
        assert (goes_on(planted, built, [0, 1, 2], recorded=()) is not None) == goes  # one that has ended may differ
