"""A member of a gang: builds the runs of a block as its leader does, and computes its share of every pass.

Started by `Gang` as ``python -m campaign.work.gang.member SOCKET DIRECTORY STAGE PART BLOCK INDEX SIZE``. It ends when
the socket closes, whatever it is at: a leader that was killed leaves nobody behind. The signals that tell a job to
leave are the leader's to obey.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from campaign.engines.batch import Work
    from campaign.engines.row_program import Ask
    from campaign.store.layout import BlockTask, Layout

_NOT_OURS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main() -> None:
    """Entry of the process."""
    for number in _NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    socket, directory, stage, part, block, index, size = sys.argv[1:]
    connection = Connection(int(socket))
    asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, asked), daemon=True).start()
    from campaign.work.jax_runtime import start_jax

    start_jax()
    from campaign.own_code import told
    from campaign.store.layout import BlockTask, Layout
    from campaign.work.gang.wire import decode_ask, encode_failure, encode_parts, serial_of, share

    runs, task = None, BlockTask(stage=stage, part=int(part), block=int(block))
    while True:
        message = asked.get()
        try:
            runs = runs or _Runs(Layout(Path(directory)), task)
            ask, blocks = decode_ask(message)
            reply = encode_parts(runs.parts(ask, share(int(index), int(size), blocks)), serial_of(message))
        except (Exception, SystemExit) as error:
            reply = encode_failure(told(error).message, serial_of(message))
        connection.send_bytes(reply)


def _listen(connection: Connection, asked: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            asked.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


class _Runs:
    """The runs of the block by their words, each with the compiled parts of its structure."""

    def __init__(self, layout: Layout, task: BlockTask) -> None:
        from campaign.engines.host_program import work_of
        from campaign.engines.passes import PartCalls
        from campaign.store.records import read_json
        from campaign.work.building import build_block
        from campaign.work.planned_block import load_block

        block = load_block(layout, task, read_json(layout.identity)["id"])
        self._runs: dict[bytes, tuple[PartCalls, Work]] = {}
        for group in build_block(block.recipe, block.columns, block.run_ids).groups:
            work, is_batched = group.batch.work, group.batch.is_batched
            calls = PartCalls(work_of(work, is_batched, None))
            for i, words in enumerate(group.batch.words[: len(group.rows)]):
                self._runs[words.tobytes()] = (calls, work_of(work, is_batched, i))

    def parts(self, ask: Ask, blocks: range) -> list[np.ndarray]:
        """The parts of a member's share."""
        calls, work = self._runs[ask.run]
        return [calls(ask.kind, work, ask.u, k) for k in blocks]


if __name__ == "__main__":
    main()
