"""Findings that need the plug-ins, with place, value and cure."""

import pytest

from campaign.errors import ManifestError
from campaign.schedule.check import open_document


def findings(**keys):
    document = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}, **keys}
    with pytest.raises(ManifestError) as caught:
        open_document(document)
    assert caught.value.exit_code == 3
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"engine": {"name": "trff"}}, "/engine/name: unknown engine `trff`; did you mean `trf`?"),
        ({"problem": {"name": "dekay"}}, "/problem/name: unknown problem `dekay`; did you mean `decay`?"),
        ({"problem": {"name": "decay", "sigmaa": 1}}, "/problem/sigmaa: unknown key `sigmaa`; did you mean `sigma`?"),
        ({"problem": {"name": "decay", "n": "3"}}, '/problem/n: "3" (a string) is not valid'),
        (
            {"engine": {"name": "trf", "loss": "hubber"}},
            '/engine/loss: "hubber" is not valid here; did you mean `huber`?',
        ),
        ({"start": {"rat": 1}}, "/start/rat: unknown parameter `rat`; did you mean `rate`?"),
        ({"scale": {"rate": 0}}, "/scale/rate: the scale rate = 0 is not positive"),
        ({"expand": {"grid": {"problem.sigm": [1]}}}, "/expand/grid/problem.sigm: unknown key `sigm`"),
        ({"expand": {"grid": {"problem.sigma": [1, -2]}}}, "/expand/grid/problem.sigma: -2 (a number) is not valid"),
        ({"expand": {"grid": {"problem.n": [5, 2.5]}}}, "/expand/grid/problem.n: 2.5 (a number) is not valid"),
        ({"expand": {"grid": {"start.rate": ["a"]}}}, "takes numbers, not string values"),
        ({"expand": {"grid": {"engine.name": ["trf", "trv"]}}}, "/expand/grid/engine.name: unknown engine `trv`"),
        ({"expand": {"grid": {"scale.rate": [1, -1]}}}, "the scale rate = -1 is not positive"),
        (
            {"expand": {"grid": {"start.rate": [1, 2]}}, "derive": {"start.offset": "1 / (start.rate - 1)"}},
            "/derive/start.offset: 1 of 2 values of `start.offset` are not finite numbers",
        ),
        (
            {"problem": {"name": "decay", "free": ["rate", "x"]}},
            "/problem/free: unknown parameter `x`",
        ),
        (
            {"engine": {"name": "scan", "grid": {"rat": [0.5]}}},
            "/engine: engine `scan`: `rat` at `engine.grid` is not a free parameter; did you mean `rate`?",
        ),
        (
            {"trace": {"fields": ["los", "theta"]}},
            "/trace/fields: no engine of this stage records `los`; did you mean `loss`?",
        ),
    ],
)
def test_one_finding(keys, expected):
    assert expected in findings(**keys)


def test_findings_of_reading_and_of_plugins_come_together():
    text = findings(
        seed=-1, engine={"name": "trff"}, expand={"gird": {}}, start={"rat": 1}, problem={"name": "decay", "n": 0}
    )
    for part in ("/seed", "/engine/name", "/expand/gird", "/start/rat", "/problem/n"):
        assert f"{part}: " in text


def test_a_later_stage_is_checked_for_every_group_of_the_earlier():
    first = {
        "name": "fit",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.name": ["decay", "gaussian"]}},
    }
    later = {"name": "b", "engine": {"name": "trf"}, "start": {"from": "fit", "by": ["problem.name"], "x0": 1.0}}
    with pytest.raises(ManifestError, match=r"/stages/1/start/x0: unknown parameter `x0`"):
        open_document({"schema": "campaign/1", "name": "t", "stages": [first, later]})
