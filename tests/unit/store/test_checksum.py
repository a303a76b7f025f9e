"""No bit of a sealed document can change unseen; what has no checksum is taken as it is."""

import json
import zlib

import pytest

from campaign.store.checksum import FIELD, fault_of, fault_of_line, seal, sealed_line
from campaign.store.records import dumps, dumps_pretty, loads

RECORD = {"run_id": "ab" * 16, "loss": 1.25e-7, "theta": {"a": 0.1, "µ": -3}, "message": None, "nonfinite": []}


def test_the_checksum_is_that_of_all_before_it():
    line = sealed_line(dumps(RECORD))
    body, digits = line[: line.index(b',"crc32":')], loads(line)[FIELD]
    assert int(digits, 16) == zlib.crc32(body)
    assert loads(line) == RECORD | {FIELD: digits} == seal(RECORD)
    assert fault_of_line(line) is None


def seen(line: bytes) -> bool:
    try:
        document = loads(line)
    except ValueError:
        return True
    return not isinstance(document, dict) or fault_of_line(line) is not None


def test_every_flipped_bit_of_a_line_is_seen():
    line = sealed_line(dumps(RECORD))
    for at in range(len(line)):
        for bit in range(8):
            harmed = bytearray(line)
            harmed[at] ^= 1 << bit
            assert seen(bytes(harmed)), (at, bit, bytes(harmed))


def test_every_flipped_bit_of_a_document_is_seen_or_changes_nothing():
    text = dumps_pretty(seal(RECORD))
    for at in range(len(text)):
        for bit in range(8):
            harmed = bytearray(text)
            harmed[at] ^= 1 << bit
            try:
                document = loads(bytes(harmed))
            except ValueError:
                continue
            assert fault_of(document) is not None or document == seal(RECORD)  # one white space for another


@pytest.mark.parametrize(
    "document",
    [RECORD, {}, {"a": 1, "folder": "deadbeef"}, {"seed": 2**70, "x": 1}, [1], None, {"nested": {FIELD: "00000000"}}],
)
def test_documents_without_a_checksum_are_taken_as_they_are(document):
    assert fault_of(document) is None
    assert fault_of_line(json.dumps(document, separators=(",", ":")).encode()) is None


def test_integers_of_any_size_can_be_sealed():
    document = seal({"seed": 2**70, "name": "big"})
    assert fault_of(json.loads(json.dumps(document))) is None
    assert fault_of(document | {"seed": 2**70 + 1}) is not None
