"""What the leader of a gang and its members say to each other: bytes of fixed form, over a socket that only they have.

A question is its number, the kind of the pass, the run, which row blocks, and u. An answer is the number of the
question, and the parts of the member's row blocks or a reason.
"""

from __future__ import annotations

import struct

import numpy as np

from campaign.engines.passes import Pass
from campaign.engines.row_program import Ask

_ASK = struct.Struct("<IB16sIIc")  # number, kind, run, first row block, the one after the last, type of u
_ANSWER = struct.Struct("<I?")  # number of the question, whether parts follow


class MemberFailed(Exception):
    """A member could not compute its parts: a model, or a file of data, has failed there."""


def share(index: int, size: int, blocks: range) -> range:
    """The row blocks of member `index` of `size`: neighbours, so that each reads one stretch of a file."""
    n = len(blocks)
    return blocks[index * n // size : (index + 1) * n // size]


def encode_ask(ask: Ask, blocks: range, serial: int) -> bytes:
    """A question."""
    head = _ASK.pack(serial, ask.kind, ask.run, blocks.start, blocks.stop, ask.u.dtype.char.encode())
    return head + ask.u.tobytes()


def decode_ask(message: bytes) -> tuple[Ask, range]:
    """The question, and of which row blocks."""
    _, kind, run, first, end, dtype = _ASK.unpack_from(message)
    u = np.frombuffer(message, np.dtype(dtype.decode()), offset=_ASK.size)
    return Ask(Pass(kind), run, u), range(first, end)


def serial_of(message: bytes) -> int:
    """Number of a question, or of the question that an answer belongs to."""
    return struct.unpack_from("<I", message)[0]


def encode_parts(parts: list[np.ndarray], serial: int) -> bytes:
    """An answer: the parts of a share."""
    return _ANSWER.pack(serial, True) + b"".join(part.tobytes() for part in parts)


def encode_failure(reason: str, serial: int) -> bytes:
    """An answer: why there are none."""
    return _ANSWER.pack(serial, False) + reason.encode()


def parts_of(answer: bytes, dtype: np.dtype) -> np.ndarray:
    """The numbers of all parts in an answer, one part after the other.

    Raises:
        MemberFailed: with the member's reason.
    """
    if not _ANSWER.unpack_from(answer)[1]:
        raise MemberFailed(answer[_ANSWER.size :].decode())
    return np.frombuffer(answer, dtype, offset=_ANSWER.size)
