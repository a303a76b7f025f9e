"""What a leader and its members say to each other."""

import numpy as np
import pytest

from campaign.engines.passes import Pass
from campaign.engines.row_program import Ask
from campaign.work.gang.wire import (
    MemberFailed,
    decode_ask,
    encode_ask,
    encode_failure,
    encode_parts,
    parts_of,
    serial_of,
    share,
)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [1, 2, 7, 123])
def test_shares_are_all_row_blocks_in_order_and_nearly_equal(size, n):
    shares = [share(index, size, range(5, 5 + n)) for index in range(size)]
    assert [k for own in shares for k in own] == list(range(5, 5 + n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_question_and_its_answer_keep_every_bit(dtype):
    u = np.array([np.pi, -np.inf, 1e-300], dtype)
    question = encode_ask(Ask(Pass.TRIANGLE, bytes(range(16)), u), range(7, 70_000), 2**31)
    found, blocks = decode_ask(question)
    assert blocks == range(7, 70_000)
    assert (found.kind, found.run, found.u.dtype) == (Pass.TRIANGLE, bytes(range(16)), u.dtype)
    np.testing.assert_array_equal(found.u, u)
    answer = encode_parts([u, u + 1], serial_of(question))
    assert serial_of(answer) == 2**31
    np.testing.assert_array_equal(parts_of(answer, u.dtype), np.concatenate([u, u + 1]))


def test_a_failure_is_raised_with_its_reason():
    with pytest.raises(MemberFailed, match="ValueError: η is negative"):
        parts_of(encode_failure("ValueError: η is negative", 3), np.dtype("float64"))
