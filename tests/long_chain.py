"""A process that writes a chain of 250 MB a run, sums it, exports it, and prints what memory each of them took.

python long_chain.py DIRECTORY FOLDER-OF-EXPORT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import campaign
import planting as p
from campaign.cli.main import run
from campaign.store.records import publish_json
from campaign.store.trace_chunks import chunk_lengths
from campaign.store.trace_spec import Field, TraceSpec
from campaign.work.trace_writer import TraceWriter

WALKERS, PARAMETERS, STEPS, AT_ONCE = 64, 16, 30_000, 500
CHAIN_BYTES = 8 * STEPS * WALKERS * PARAMETERS
PLANTING = p.Planting(n_runs=2, block_size=2)


def spec() -> TraceSpec:
    shape, inner = (STEPS, WALKERS, PARAMETERS), (AT_ONCE, WALKERS, PARAMETERS)
    run_chunk, chunk = chunk_lengths(2, inner, 8)
    dims = ("step", "walker", "parameter")
    theta = Field(name="theta", dims=dims, shape=shape, run_chunk=run_chunk, chunk=chunk, dtype="float64")
    loss = Field(name="loss", dims=("step",), shape=(STEPS,), run_chunk=2, chunk=(AT_ONCE,), dtype="float64")
    return TraceSpec(n_rows=2, block_size=2, fields=(theta, loss), coordinates={}, attributes={})


def handed_over(k: int) -> dict[str, np.ndarray]:
    """theta = step + parameter in run 1 and its negative in run 0, whatever the walker."""
    steps = k * AT_ONCE + np.arange(float(AT_ONCE))
    one = np.broadcast_to(steps[:, None, None] + np.arange(PARAMETERS), (AT_ONCE, WALKERS, PARAMETERS))
    return {"theta": np.stack([-one, one]), "loss": np.stack([-steps, steps])}


def peak() -> int:
    """The most bytes that this program had; `getrusage` would count those of the process that forked it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def use(directory: str, folder: str) -> Iterator[np.ndarray | None]:
    """Does one thing after the other; yields after each, the sum over steps and walkers where it is known."""
    layout, run_id = p.plant(Path(directory), PLANTING), PLANTING.run_id(1)
    p.publish(layout, PLANTING, changes={i: {"n_steps": STEPS} for i in range(2)})
    publish_json(layout.meta(run_id), {})
    program = PLANTING.program_name(0)
    writer = TraceWriter.open(layout, "fit", program, spec(), row_chunk=0, n_runs=2, is_whole=True)
    writer.put(0, np.arange(2), handed_over(0))
    writer.settle()
    handle = campaign.open(directory)
    np.asarray(handle.trace(run_id)["loss"])  # what has to be imported is now
    yield None
    for k in range(1, STEPS // AT_ONCE):
        writer.put(k, np.arange(2), handed_over(k))
    writer.flush()
    yield None
    yield sum(piece.values.sum(axis=(0, 1)) for piece in handle.chunks(run_id, "theta"))
    assert run(["export", directory, run_id, "-o", folder]) == 0
    yield None


if __name__ == "__main__":
    found = [(peak(), total) for total in use(*sys.argv[1:])]
    (total,) = (total for _, total in found if total is not None)
    print(json.dumps({"peaks": [bytes_ for bytes_, _ in found], "mean": (total / STEPS / WALKERS).tolist()}))
