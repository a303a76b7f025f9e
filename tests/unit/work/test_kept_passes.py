"""Passes in rounds: what was summed before a stop or a kill is not computed again, and the bits are the same."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.engines.loop import Stopped
from campaign.engines.passes import Pass
from campaign.engines.row_program import Alone, Ask
from campaign.store import pass_log
from campaign.store.events import read_events
from campaign.store.layout import BlockTask, Layout
from campaign.work import kept_passes
from campaign.work.kept_passes import KeptPasses

TASK = BlockTask("fit", 0, 3)
ASK = Ask(Pass.ARROW, bytes(range(16)), np.array([0.1, 0.2]))
N = 11


class Own:
    """Parts that say which row block they are of, and which were asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, k):
        self.asked.append(k)
        return np.array([k, np.sin(k)])


@pytest.fixture(autouse=True)
def long_passes(monkeypatch):
    """Each pass counts as long, each round has one row block, and each tells."""
    monkeypatch.setattr(kept_passes, "LONG_S", 0.0)
    monkeypatch.setattr(kept_passes, "ROUND_S", 0.0)
    monkeypatch.setattr(kept_passes, "TOLD_S", 0.0)


def kept(root, stops=()):
    """A crew that is told to stop where `stops` says so, one word a round."""
    words = iter(stops)
    layout = Layout(root)
    return KeptPasses(crew=Alone(), layout=layout, task=TASK, must_stop=lambda: next(words, False))


EXPECTED = np.stack([Own()(k) for k in range(N)])


def test_a_pass_that_is_stopped_goes_on_where_it_was(tmp_path):
    first, second = Own(), Own()
    with pytest.raises(Stopped):
        kept(tmp_path, [False, False, True]).parts(ASK, range(N), first)
    assert first.asked == [0, 1, 2, 3, 4, 5]  # a round of four, and two of one
    again = kept(tmp_path)
    np.testing.assert_array_equal(again.parts(ASK, range(N), second), EXPECTED)
    assert second.asked == list(range(6, N))
    told = [(e["n_done"], e["n"], e["kind"]) for e in read_events(Layout(tmp_path)) if e["event"] == "block_pass"]
    assert told[:3] == [(4, N, "ARROW"), (5, N, "ARROW"), (6, N, "ARROW")]


def test_passes_that_ended_are_found_again_and_others_are_not(tmp_path):
    other = ASK._replace(u=np.array([0.1, np.nextafter(0.2, 1.0)]))
    before = kept(tmp_path)
    for ask in (ASK, other):
        before.parts(ask, range(N), Own())
    own, new = Own(), ASK._replace(kind=Pass.LINEAR)
    after = kept(tmp_path)
    for ask in (other, ASK):
        np.testing.assert_array_equal(after.parts(ask, range(N), own), EXPECTED)
    assert own.asked == []
    after.parts(new, range(N), own)
    assert own.asked == list(range(N))


def test_a_torn_record_and_what_is_behind_it_are_computed_again(tmp_path):
    kept(tmp_path).parts(ASK, range(N), Own())
    path = Layout(tmp_path).passes("fit", 0, 3)
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    own = Own()
    np.testing.assert_array_equal(kept(tmp_path).parts(ASK, range(N), own), EXPECTED)
    assert own.asked == [N - 1]
    path.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])  # in the first record
    own = Own()
    np.testing.assert_array_equal(kept(tmp_path).parts(ASK, range(N), own), EXPECTED)
    assert own.asked == list(range(N))


def test_two_checkpoints_later_a_pass_is_forgotten(tmp_path):
    layout, place = Layout(tmp_path), ("fit", 0, 3)
    kept(tmp_path).parts(ASK, range(N), Own())
    pass_log.turn_over(layout, *place)
    own = Own()
    kept(tmp_path).parts(ASK, range(N), own)
    assert own.asked == []
    kept(tmp_path).parts(ASK._replace(kind=Pass.LINEAR), range(N), Own())
    pass_log.turn_over(layout, *place)
    kept(tmp_path).parts(ASK, range(N), own)
    assert own.asked == list(range(N))
    pass_log.discard(layout, *place)
    assert not list(layout.passes(*place).parent.iterdir())


def test_short_passes_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_passes, "LONG_S", 60.0)
    monkeypatch.setattr(kept_passes, "ROUND_S", 60.0)
    monkeypatch.setattr(kept_passes, "FIRST", 100)
    np.testing.assert_array_equal(kept(tmp_path).parts(ASK, range(N), Own()), EXPECTED)
    assert not Layout(tmp_path).passes("fit", 0, 3).exists()
