"""A manifest with any part replaced by any JSON: it loads, or every finding has a place. Never another exception.

`FUZZ_MANIFESTS` sets how many; three hundred by default.
"""

import copy
import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.errors import ManifestError
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage

N_MANIFESTS = int(os.environ.get("FUZZ_MANIFESTS", "300"))
GOOD = {
    "schema": "campaign/1",
    "name": "t",
    "seed": 7,
    "stages": [
        {
            "name": "fit",
            "problem": {"name": "decay", "n": 20, "free": ["rate", "offset"]},
            "engine": {"name": "trf", "max_steps": 5},
            "start": {"rate": 1.0},
            "scale": {"rate": 0.1},
            "expand": {
                "product": [
                    {"grid": {"problem.n": [10, 20], "problem.sigma": {"linspace": [0.1, 0.2, 2]}}},
                    {"switch": {"key": "problem.n", "cases": {"10": {}, "20": {"zip": {"tag.a": ["x", "y"]}}}}},
                    {"sample": {"design": "sobol", "n": 2, "space": {"start.offset": {"normal": [0, 1]}}}},
                ]
            },
            "include": [{"start.rate": 3}],
            "derive": {"start.drift": "start.rate / 10"},
            "exclude": [{"tag.a": "y"}, "problem.sigma > 1"],
            "replicates": 2,
            "trace": {"fields": ["loss"]},
        },
        {"name": "b", "engine": {"name": "trf"}, "start": {"from": "fit", "by": ["problem.n"], "pick": "best"}},
        {"name": "c", "engine": {"name": "trf"}, "start": {"from": "fit", "by": ["problem.n"], "pick": {"best": 2}}},
        {
            "name": "d",
            "problem": {"name": "decay"},
            "engine": {"name": "trf"},
            "start": {"from": "fit", "pick": "nearest", "by": {"problem.n": 10, "problem.sigma": 0.1}},
            "expand": {"grid": {"problem.n": [10, 15], "problem.sigma": [0.1, 0.15]}},
        },
        {
            "name": "e",
            "problem": {"name": "combine", "parameters": ["rate", "offset"]},
            "engine": {"name": "evaluate"},
            "start": {"from": "fit", "pick": "group", "by": ["problem.n"]},
        },
    ],
    "execution": {"executor": "inline", "layout": "auto"},
    "profiles": {"x": {"workers": 2}},
}
words = st.sampled_from(
    ["grid", "sample", "product", "start.rate", "problem.n", "name", "fit", "decay", "9**9", "a.py:B"]
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)


def places(document, path=()):
    yield path
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [path for path in places(GOOD) if path]


def test_the_good_one_is_good():
    part = plan_stage(open_document(GOOD), "fit")
    # n = 10: 2 sigma × 2 draws; n = 20: × 2 tags, one excluded; one point included; all twice
    assert part.header["n_runs"] == (2 * 2 + 2 * 2 + 1) * 2


@settings(
    max_examples=int(os.environ.get("FUZZ_MANIFESTS", "300")),
    suppress_health_check=[HealthCheck.too_slow],
    deadline=None,
)
@given(st.lists(st.tuples(st.sampled_from(PLACES), anything), min_size=1, max_size=2))
def test_any_part_replaced_by_anything(changes):
    document = copy.deepcopy(GOOD)
    for path, value in changes:
        inner = document
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    manifest, findings = opened(document)
    assert all(d.message and (d.place == "" or d.place.startswith("/")) for d in findings)
    for stage in manifest.stages if manifest else ():
        if stage.start.source is None:
            assert plan_stage(manifest, stage).header["n_runs"] > 0


def opened(document):
    """(manifest, ()) or (None, findings)."""
    try:
        return open_document(json.loads(json.dumps(document))), ()
    except ManifestError as error:
        return None, error.diagnostics or [None]
