"""The leader's side of a gang: it starts the members, asks them for their parts, and replaces one that dies.

The leader is the process that runs the block, wherever an executor put it; members are its children, on its machine.
Each is joined to it by a pair of sockets that no other process has: there is no port to find and nothing to
authenticate, a member's death is the end of its stream, and so is the leader's. What travels is numbers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait

import numpy as np

from campaign.engines.program import Program
from campaign.engines.row_program import Alone, Ask, Crew, RowProgram
from campaign.errors import CampaignError, InvalidValue
from campaign.interpreter import running
from campaign.store.events import EventLog
from campaign.store.layout import BlockTask, Layout
from campaign.work.gang.wire import encode_ask, parts_of, serial_of, share

MAX_LOSSES = 4  # deaths of members in one execution of a block, after which it is given up


class GangLost(CampaignError):
    """Members of a gang died again and again."""


@contextlib.contextmanager
def crew(layout: Layout, task: BlockTask, size: int) -> Iterator[Crew]:
    """Those who make the passes of a block's fits: this process alone, or a gang of `size` with it."""
    if size == 1:
        yield Alone()
        return
    gang = Gang(layout, task, size)
    try:
        for index in range(1, size):
            gang.start(index)
        yield gang
    finally:
        gang.close()


def manned(program: Program, crew: Crew) -> Program:
    """The program with its passes over the rows made by a crew.

    Raises:
        InvalidValue: a gang, and the program makes none.
    """
    if isinstance(program, RowProgram):
        return replace(program, crew=crew)
    if crew.size > 1:
        raise no_rows("its program")
    return program


def no_rows(what: str) -> InvalidValue:
    """What to say where a gang is asked for and `what` gives it nothing to share."""
    return InvalidValue(
        f"/execution/ranks_per_block is more than 1, and {what} does not go by row blocks on a processor",
        hint="leave it out, or give the problem `n_residuals` and `residual_rows` and fit it with `trf`",
    )


@dataclass(frozen=True, slots=True)
class _Member:
    process: subprocess.Popen[bytes]
    connection: Connection

    def end(self) -> int:
        """Its exit code."""
        self.connection.close()
        self.process.kill()
        return self.process.wait()


@dataclass(slots=True)
class Gang:
    """A `Crew` of `size` processes, this one among them.

    Attributes:
        layout, task: the block.
        members: the others, by their index from 1 on.
        serial: number of the last question.
        n_losses: members that have died.
    """

    layout: Layout
    task: BlockTask
    size: int
    members: dict[int, _Member] = field(default_factory=dict)
    serial: int = 0
    n_losses: int = 0

    def start(self, index: int) -> None:
        """Start a member; it builds the block while the leader compiles."""
        ours, theirs = socket.socketpair()
        with theirs:
            place = (self.layout.root, self.task.stage, self.task.part, self.task.block)
            words = (theirs.fileno(), *place, index, self.size)
            process = subprocess.Popen(
                [*running("campaign.work.gang.member"), *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # the standard output of a rank is for its receipts
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            )
        self.members[index] = _Member(process, Connection(ours.detach()))

    def close(self) -> None:
        """End the members."""
        while self.members:
            self.members.popitem()[1].end()

    def parts(self, ask: Ask, blocks: range, own: Callable[[int], np.ndarray]) -> np.ndarray:
        """See `Crew`. A member that dies is replaced, and the one that takes its place is asked again.

        Raises:
            GangLost: that was once too often.
            MemberFailed: a member could not compute its parts.
        """
        self.serial += 1
        question, answers = encode_ask(ask, blocks, self.serial), dict[int, bytes]()
        for index in self.members:
            self._ask(index, question)
        mine = []
        for k in share(0, self.size, blocks):
            mine.append(own(k))
            self._collect(answers, question, timeout=0.0)
        while len(answers) < len(self.members):
            self._collect(answers, question, timeout=None)
        theirs = [parts_of(answers[index], ask.u.dtype) for index in sorted(answers)]
        return np.concatenate([*mine, *theirs]).reshape(len(blocks), -1)

    def _ask(self, index: int, question: bytes) -> None:
        with contextlib.suppress(OSError):  # it has died: its stream will say so
            self.members[index].connection.send_bytes(question)

    def _collect(self, answers: dict[int, bytes], question: bytes, *, timeout: float | None) -> None:
        """Take the answers that are there; with no timeout, wait for one."""
        waiting = {member.connection: i for i, member in self.members.items() if i not in answers}
        for connection in wait(list(waiting), timeout):
            index = waiting[connection]  # pyright: ignore[reportArgumentType]
            try:
                answer = self.members[index].connection.recv_bytes()
            except (EOFError, OSError):
                self._replace(index)
                self._ask(index, question)
                continue
            if serial_of(answer) == self.serial:  # else to a pass that was given up
                answers[index] = answer

    def _replace(self, index: int) -> None:
        code = self.members.pop(index).end()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        reason = f"member {index} of a gang of {self.size} died ({how})"
        self.n_losses += 1
        place = {"stage": self.task.stage, "part": self.task.part, "block": self.task.block}
        with EventLog(self.layout) as events:
            events.append("member_lost", **place, reason=reason, count=self.n_losses)
        if self.n_losses >= MAX_LOSSES:
            raise GangLost(f"{reason}; {self.n_losses} members have died")
        self.start(index)
