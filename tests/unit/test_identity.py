import hashlib

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.identity import canonical, number_texts, run_document, run_id, template

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


def test_a_filled_template_is_the_canonical_text():
    gaps = [("replicate",), ("start", "z"), ("start", "a"), ("problem", "sigma")]
    columns = [np.array([0, 5]), np.array([1.5, -0.0]), np.array([1e300, 3.0]), np.array([1e-7, 12.25])]
    digests = template(DOCUMENT, gaps).digests([number_texts(c) for c in columns])
    for i in range(2):
        document = {
            **DOCUMENT,
            "replicate": int(columns[0][i]),
            "start": {"rate": 1, "z": columns[1][i].item(), "a": columns[2][i].item()},
            "problem": {**DOCUMENT["problem"], "sigma": columns[3][i].item()},
        }
        assert digests[16 * i : 16 * i + 16].hex() == run_id(document)


def test_numbers_that_json_cannot_say_are_refused():
    with pytest.raises(InvalidValue):
        number_texts(np.array([1.0, np.nan]))
    with pytest.raises(InvalidValue):
        number_texts(np.array([2**53]))
    assert number_texts(np.array([True, False])) == [b"true", b"false"]
    assert number_texts(np.array([])) == []
