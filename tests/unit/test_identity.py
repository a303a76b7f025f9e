import hashlib

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.identity import CHAIN_LENGTH, canonical, number_texts, run_document, run_id, run_ids

DOCUMENT = run_document(
    problem={"name": "decay", "n": 20, "note": "100 %b {}"},
    engine={"name": "trf"},
    start={"rate": 1.0},
    scale={},
    seed=7,
    replicate=0,
    versions={"problem": "1", "engine": "1"},
    files={},
)


def test_canonical_json_is_rfc_8785():
    # RFC 8785, section 3.2.2 and appendix B
    assert canonical({"b": [56.0, -0.0, 1e30, 4.5, 2e-3, 1e-27], "a": '\u20ac$\x0f\nA\'B"\\"/', "é": None}) == (
        '{"a":"€$\\u000f\\nA\'B\\"\\\\\\"/","b":[56,0,1e+30,4.5,0.002,1e-27],"é":null}'.encode()
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2**53, {1: 2}, object(), "\ud800"])
def test_what_has_no_canonical_json(bad):
    with pytest.raises(InvalidValue):
        canonical(bad)


def test_run_id_by_hand():
    text = (
        '{"engine":{"name":"trf"},"files":{},"problem":{"n":20,"name":"decay","note":"100 %b {}"},'
        '"replicate":0,"seed":7,"start":{"rate":1},"versions":{"engine":"1","problem":"1"}}'
    )
    assert run_id(DOCUMENT) == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_scale_enters_only_when_given():
    given = run_document(**{**DOCUMENT, "scale": {"rate": 0.1}})
    assert "scale" not in DOCUMENT
    assert run_id(given) != run_id(DOCUMENT)


@pytest.mark.parametrize("unkeyed", [(), ("max_steps",), ("max_steps", "thin")])
def test_ids_by_column_are_the_ids_one_by_one(unkeyed):
    gaps = [("replicate",), ("start", "z"), ("start", "a"), ("problem", "sigma"), ("engine", "max_steps")]
    columns = [[0, 5], [1.5, -0.0], [1e300, 3.0], [1e-7, 12.25], [100, 7]]
    kinds = [int, float, float, float, int]
    arrays = [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    start = {**DOCUMENT, "engine": {**DOCUMENT["engine"], "thin": 5}}
    ids = run_ids(start, gaps, [number_texts(array) for array in arrays], unkeyed)
    for i in range(2):
        document = {
            **start,
            "replicate": columns[0][i],
            "start": {"rate": 1, "z": columns[1][i], "a": columns[2][i]},
            "problem": {**DOCUMENT["problem"], "sigma": columns[3][i]},
            "engine": {**start["engine"], "max_steps": columns[4][i]},
        }
        assert ids[16 * i : 16 * i + 16].hex() == run_id(document, unkeyed)


def test_the_number_of_steps_changes_the_end_of_an_id_only():
    ids = {run_id({**DOCUMENT, "engine": {"name": "trf", "max_steps": n}}, ("max_steps",)) for n in range(1, 200)}
    assert len(ids) == 199
    assert len({one[:CHAIN_LENGTH] for one in ids}) == 1
    assert run_id({**DOCUMENT, "seed": 8, "engine": {"name": "trf", "max_steps": 1}}, ("max_steps",))[:8] not in {
        one[:8] for one in ids
    }


def test_numbers_that_json_cannot_say_are_refused():
    with pytest.raises(InvalidValue):
        number_texts(np.array([1.0, np.nan]))
    with pytest.raises(InvalidValue):
        number_texts(np.array([2**53]))
    assert number_texts(np.array([True, False])) == [b"true", b"false"]
    assert number_texts(np.array([])) == []
