"""Checkpoints: the state of a block between two step chunks, as plain arrays in one file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from campaign.store import pass_log
from campaign.store.atomic import publish_bytes, storage_error
from campaign.store.layout import Layout
from campaign.store.npz import UNREADABLE


def save(layout: Layout, stage: str, part: int, block: int, leaves: Sequence[np.ndarray], next_chunk: int) -> None:
    """Publish the leaves of a block's state; replaces the one before."""
    buffer = io.BytesIO()
    arrays = {f"leaf{i:04d}": leaf for i, leaf in enumerate(leaves)}
    np.savez(buffer, next_chunk=np.int64(next_chunk), **arrays)  # pyright: ignore[reportArgumentType]
    publish_bytes(layout.checkpoint(stage, part, block), buffer.getvalue())


def load(layout: Layout, stage: str, part: int, block: int) -> tuple[list[np.ndarray], int] | None:
    """(leaves, next chunk) of a block's last checkpoint; None when there is none or it cannot be read."""
    path = layout.checkpoint(stage, part, block)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = sorted(n for n in archive.files if n.startswith("leaf"))
            return [archive[n] for n in names], int(archive["next_chunk"])
    except FileNotFoundError:
        return None
    except UNREADABLE:
        discard(layout, stage, part, block)
        return None


def discard(layout: Layout, stage: str, part: int, block: int) -> None:
    """Remove a block's checkpoint, its passes and what is known of its hangs, after its summaries are published.

    Raises:
        Unavailable: its folder cannot be written.
    """
    try:
        layout.checkpoint(stage, part, block).unlink(missing_ok=True)
        layout.hung(stage, part, block).unlink(missing_ok=True)
        pass_log.discard(layout, stage, part, block)
    except OSError as error:
        raise storage_error(error) from error
