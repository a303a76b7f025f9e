"""What a sink records of the loop's chunks, when it saves and stops, and when a group is late."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from campaign.store.trace_policy import TracePolicy
from campaign.store.trace_spec import Field, TraceSpec
from campaign.work.control import Control
from campaign.work.desk import MemoryDesk, MemoryOutput
from campaign.work.sink import BlockSink

CHUNK, N = 4, 10  # steps of a chunk, steps of a run
LOSS = np.stack([100.0 * row + np.arange(3 * CHUNK) for row in range(3)])  # two steps more than a run has


class Desk(MemoryDesk):
    """Keeps the state in memory, as the directory does on disk."""

    def save(self, leaves, next_chunk):
        self.saved = (leaves, next_chunk)

    def load(self):
        return getattr(self, "saved", None)


def sink(policy: TracePolicy, *, first_row: int = 0, rows=(0, 1, 2), **more) -> BlockSink:
    n = policy.n_recorded(N)
    shared = {"run_chunk": 3, "chunk": (n,), "dtype": "float64"}
    spec = TraceSpec(
        n_rows=3, block_size=3, coordinates={}, attributes={},
        fields=(Field(name="loss", dims=("step",), shape=(n,), **shared),),
    )  # fmt: skip
    group = SimpleNamespace(rows=np.array(rows), batch=SimpleNamespace(work=SimpleNamespace(engine=ENGINE)))
    output = MemoryOutput(spec, 3, True)
    options = {"control": Control(), "is_checkpointed": True, "checkpoint_s": 1e9} | more
    return BlockSink(desk=Desk(), group=group, output=output, trace_policy=policy, first_row=first_row, **options)


ENGINE = SimpleNamespace(chunk_steps=CHUNK)


def recorded(own: BlockSink) -> np.ndarray:
    for chunk in range(3):
        own.trace(chunk, {"loss": LOSS[:, chunk * CHUNK : (chunk + 1) * CHUNK], "unknown": LOSS})
    return np.stack([own.output.of(row, "loss", N) for row in range(3)])


@pytest.mark.parametrize("every", [1, 2, 3, 4, 6, 7])
def test_every_nth_step_is_recorded_whatever_the_chunks(every):
    found = recorded(sink(TracePolicy(every=every)))[:, : -(-N // every)]  # the last chunk goes on beyond the last step
    np.testing.assert_array_equal(found, LOSS[:, :N:every])


@pytest.mark.parametrize(("first_row", "seen"), [(0, [True, False, False]), (3, [False, False, False])])
def test_of_the_first_run_only_means_the_first_of_the_program(first_row, seen):
    own = sink(TracePolicy(runs="first"), first_row=first_row)
    if any(seen):
        assert np.isfinite(recorded(own)).all(axis=1).tolist() == seen
    else:
        own.trace(0, {"loss": LOSS[:, :CHUNK]})
        assert own.output.chunks == {}


def test_a_state_is_saved_when_it_is_due_and_when_the_driver_stops():
    own = sink(TracePolicy())
    assert own.between(1, lambda: [LOSS]) is False
    assert own.resume() is None
    own.checkpoint_s = 0.0
    assert own.between(2, lambda: [LOSS]) is False
    assert own.resume()[1] == 2
    own.checkpoint_s = 1e9
    own.control.drain.set()
    assert own.between(3, lambda: [LOSS]) is True
    assert own.resume()[1] == 3


def test_a_part_of_a_block_stops_and_saves_nothing():
    """Its state would be taken for that of the whole block."""
    own = sink(TracePolicy(), is_checkpointed=False, checkpoint_s=0.0)
    own.control.drain.set()
    assert own.between(1, lambda: pytest.fail("nobody asked for it")) is True
    assert own.resume() is None


def test_runs_of_a_group_share_their_time():
    began = time.monotonic() - 25.0
    assert not sink(TracePolicy(), timeout_s=10.0, began_at=began).is_late()  # three runs have 30 s
    assert sink(TracePolicy(), timeout_s=8.0, began_at=began).is_late()
    assert not sink(TracePolicy(), began_at=0.0).is_late()
