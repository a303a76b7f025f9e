"""Kept states: written, read, listed; what cannot be read is as good as none."""

import numpy as np

from campaign.store.layout import BlockTask, Layout
from campaign.store.states import Kept, kept_blocks, load, save

TASK = BlockTask("main", 2, 17)
KEPT = Kept(
    rows=np.array([0, 2, 3]),
    is_spent=np.array([True, False, True]),
    chunk_steps=32,
    leaves=[np.array([1.0, np.nan, -0.0]), np.array([[1, 2], [3, 4], [5, 6]], np.int32)],
)


def test_a_state_comes_back_bit_by_bit_and_is_the_same_file_each_time(tmp_path):
    layout = Layout(tmp_path)
    save(layout, TASK, KEPT)
    found = load(layout, TASK)
    assert found is not None
    assert found.chunk_steps == 32
    for one, other in zip((found.rows, found.is_spent, *found.leaves), (KEPT.rows, KEPT.is_spent, *KEPT.leaves)):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    data = layout.state("main", 2, 17).read_bytes()
    save(layout, TASK, KEPT)
    assert layout.state("main", 2, 17).read_bytes() == data


def test_what_is_missing_or_cut_short_is_none(tmp_path):
    layout = Layout(tmp_path)
    assert load(layout, TASK) is None
    save(layout, TASK, KEPT)
    path = layout.state("main", 2, 17)
    data = path.read_bytes()
    for n in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:n])
        assert load(layout, TASK) is None
    assert path.exists()


def test_the_blocks_that_have_one(tmp_path):
    layout = Layout(tmp_path)
    assert kept_blocks(layout, "main") == frozenset()
    save(layout, TASK, KEPT)
    save(layout, BlockTask("main", 0, 1), KEPT)
    (layout.states_folder("main") / "notes.npz").write_bytes(b"")
    assert kept_blocks(layout, "main") == {(2, 17), (0, 1)}
