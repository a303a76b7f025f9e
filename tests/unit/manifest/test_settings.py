"""`--set`: single values of a manifest, by a dotted path or a JSON pointer."""

import pytest

from campaign.errors import UsageError
from campaign.manifest.settings import with_settings

ONE = {"problem": {"name": "decay"}, "expand": {"grid": {"problem.sigma": [1, 2], "start.a": [0]}}}
STAGES = {"stages": [{"name": "fit", "engine": {"name": "trf"}}, {"name": "b", "engine": {}}]}


@pytest.mark.parametrize(
    ("document", "setting", "where", "value"),
    [
        (ONE, "problem.n=20", ("problem", "n"), 20),
        (ONE, "problem.name=nist", ("problem", "name"), "nist"),
        (ONE, 'problem.name="a=b"', ("problem", "name"), "a=b"),
        (ONE, "expand.grid.problem.sigma=[3]", ("expand", "grid", "problem.sigma"), [3]),
        (ONE, "/expand/grid/start.b=[1, 2.5]", ("expand", "grid", "start.b"), [1, 2.5]),
        (ONE, "execution.options.device=null", ("execution", "options", "device"), None),
        (STAGES, "stages.b.engine.name=trf", ("stages", 1, "engine", "name"), "trf"),
        (STAGES, "stages.0.engine.max_steps=7", ("stages", 0, "engine", "max_steps"), 7),
    ],
)
def test_a_value_stands_where_it_was_set(document, setting, where, value):
    before = repr(document)
    found = with_settings(document, [setting])
    for part in where:
        found = found[part]
    assert found == value
    assert type(found) is type(value)
    assert repr(document) == before


def test_later_settings_win():
    assert with_settings(ONE, ["problem.n=1", "problem.n=2"])["problem"]["n"] == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("problem.n", "is not key=value"),
        ("=3", "is not key=value"),
        ("problem.name.x=1", '`name` holds "decay", and nothing inside it'),
        ("stages.fitt.engine.name=trf", "no entry `fitt`; did you mean `fit`?"),
        ("stages.2.engine.name=trf", "no entry `2`"),
    ],
)
def test_a_place_that_cannot_be(setting, message):
    with pytest.raises(UsageError) as raised:
        with_settings({**ONE, **STAGES}, [setting])
    assert message in str(raised.value)
