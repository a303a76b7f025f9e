"""The state of a block from the kept states of those that its runs were in, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.engines.outcome import Outcome
from campaign.store.layout import BlockTask, Layout
from campaign.store.states import Kept, save
from campaign.work.continuing import _leaves

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
