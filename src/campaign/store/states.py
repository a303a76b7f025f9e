"""Kept states: where the runs of a finished block stand after their last step, so that more steps go on from there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from campaign.store.atomic import publish_bytes
from campaign.store.layout import BlockTask, Layout
from campaign.store.npz import UNREADABLE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """The state of a block whose runs have ended.

    Attributes:
        rows: row inside the block of each run that is here, ascending.
        is_spent: whether a run would have gone on if it had had more steps.
        chunk_steps: steps of a chunk of its engine.
        leaves: its state as the loop has it, one entry a run.
    """

    rows: np.ndarray
    is_spent: np.ndarray
    chunk_steps: int
    leaves: Sequence[np.ndarray]


def save(layout: Layout, task: BlockTask, kept: Kept) -> None:
    """Publish the state of a block."""
    buffer = io.BytesIO()
    arrays = {f"leaf{i:04d}": leaf for i, leaf in enumerate(kept.leaves)}
    about = {"rows": kept.rows, "is_spent": kept.is_spent, "chunk_steps": np.int64(kept.chunk_steps)}
    np.savez(buffer, **about, **arrays)  # pyright: ignore[reportArgumentType]
    publish_bytes(layout.state(task.stage, task.part, task.block), buffer.getvalue())


def load(layout: Layout, task: BlockTask) -> Kept | None:
    """The state of a block; None when there is none or it cannot be read."""
    try:
        data = io.BytesIO(layout.state(task.stage, task.part, task.block).read_bytes())
        with np.load(data, allow_pickle=False) as archive:
            names = sorted(n for n in archive.files if n.startswith("leaf"))
            return Kept(
                rows=archive["rows"],
                is_spent=archive["is_spent"],
                chunk_steps=int(archive["chunk_steps"]),
                leaves=[archive[n] for n in names],
            )
    except UNREADABLE:
        return None


def kept_blocks(layout: Layout, stage: str) -> frozenset[tuple[int, int]]:
    """(part, block) of the blocks of a stage whose state is kept. One directory listing."""
    try:
        names = [path.stem for path in layout.states_folder(stage).iterdir() if path.suffix == ".npz"]
    except FileNotFoundError:
        return frozenset()
    places = (name.split("-") for name in names if name.replace("-", "").isdigit() and name.count("-") == 1)
    return frozenset((int(part), int(block)) for part, block in places)
