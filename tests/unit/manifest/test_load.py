import pytest

from campaign.errors import DataFileError, ManifestError, UnknownName
from campaign.manifest.load import from_document, load
from campaign.manifest.points import expand

ONE = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}}


def findings(**keys):
    return [str(d) for d in from_document({**ONE, **keys}).findings]


def two(**second):
    first = {"name": "fit", "problem": {"name": "decay"}, "engine": {"name": "trf"}, "expand": {"grid": {"tag.g": [1]}}}
    stages = [first, {"name": "next", "engine": {"name": "trf"}, **second}]
    return [str(d) for d in from_document({"schema": "campaign/1", "name": "t", "stages": stages}).findings]


def table(**keys):
    loaded = from_document({**ONE, **keys})
    assert loaded.findings == ()
    stage = loaded.manifest.stages[0]
    points = expand(stage, base={"problem.n": 20, "start.z": 1.0, "engine.loss": "linear"})
    return [{p: c.value(i) for p, c in points.columns.items() if c.where_present()[i]} for i in range(points.n)], points


def test_one_stage_form_is_the_stage_main():
    manifest = from_document(ONE).manifest
    assert [(s.name, s.place) for s in manifest.stages] == [("main", "")]


def test_stages_form():
    assert two(start={"from": "fit", "by": ["tag.g"]}) == []


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"expnd": {}}, "/expnd: unknown key `expnd`; did you mean `expand`?"),
        ({"schema": "campaign/2"}, '/schema: "campaign/2" is not valid here'),
        ({"name": "../x"}, '/name: "../x" (a string) is not valid'),
        ({"seed": "7"}, '/seed: "7" (a string) is not valid'),
        ({"seed": -1}, "/seed: -1 (a number) is not valid"),
        ({"stages": []}, "`problem` is given next to `stages`"),
        ({"engine": {}}, "/engine: the key `name` is missing"),
        ({"problem": None}, "the key `problem` is missing"),
        ({"problem": {"name": "decay", "free": []}}, "/problem/free: `free` takes a list of parameters"),
        ({"start": {"rate": "1"}}, '/start/rate: "1" is not a number'),
        ({"start": {"rate": [1, 2]}}, "an axis of start values belongs in `expand`"),
        ({"start": {"pick": "best"}}, "/start/pick: `pick` needs `from`"),
        ({"replicates": 0}, "/replicates: 0 (a number) is not valid"),
        ({"trace": {"feilds": []}}, "/trace/feilds: unknown key `feilds`; did you mean `fields`?"),
        ({"trace": {}}, "/trace: {} is not valid here"),
        ({"trace": {"fields": "loss"}}, "/trace: `fields` takes a list of names, not 'loss'"),
        ({"trace": {"every": 0}}, "/trace: `every` takes a number of steps from 1 on, not 0"),
        ({"trace": {"every": True}}, "/trace: `every` takes a number of steps from 1 on, not True"),
        ({"trace": {"runs": "some"}}, "/trace: `runs` is 'some'; valid: all, first, failed"),
        ({"trace": 1}, "/trace: 1 is not valid here"),
        ({"block": 0}, "/block: 0 (a number) is not valid"),
        ({"derive": {"start.x": "9**9**9"}}, "/derive/start.x: a power takes a number"),
        ({"expand": {"grid": {"start.x": [1]}}, "derive": {"start.x": "1"}}, "is set at /expand/grid/start.x already"),
        ({"exclude": [3]}, "/exclude/0: 3 is neither"),
        ({"exclude": ["a ="]}, "/exclude/0: `a =` is not an expression"),
        ({"include": [{"x": 1}]}, "/include/0/x: unknown axis `x`"),
        ({"expand": {"grid": {"replicate": [1]}}, "replicates": 2}, "`replicates` is given too"),
        ({"execution": {"executr": "dask"}}, "/execution/executr: unknown key `executr`; did you mean `executor`?"),
        ({"execution": {"layout": "pack"}}, "/execution/layout: "),
        ({"profiles": {"a": {"workers": 0}}}, "/profiles/a/workers: 0"),
        ({"profiles": {"a": {"seed": 0}}}, "/profiles/a/seed: unknown key `seed`"),
    ],
)
def test_findings_of_one_stage(keys, expected):
    assert expected in "\n".join(findings(**keys))


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"start": {"from": "fitt"}}, "/stages/1/start/from: unknown stage `fitt`; did you mean `fit`?"),
        ({"start": {"from": "next"}}, "no cycles"),
        (
            {"start": {"from": "fit", "by": ["tag.h"]}},
            "/stages/1/start/by/0: `tag.h` is not an axis of the stage `fit`",
        ),
        ({"start": {"from": "fit", "pick": "worst"}}, '/stages/1/start/pick: "worst" is not valid'),
        ({"start": {"from": "fit", "pick": {"best": 0}}}, '/stages/1/start/pick: {"best": 0} is not valid'),
        ({"start": {"from": "fit", "pick": {"best": True}}}, '/stages/1/start/pick: {"best": true} is not valid'),
        ({"start": {"from": "fit", "pick": "nearest"}}, "/stages/1/start/pick: `nearest` needs `by`"),
        (
            {"start": {"from": "fit", "pick": "nearest", "by": {"tag.g": 0}}},
            "/stages/1/start/by: `by` takes axes, or a positive scale for each",
        ),
        (
            {"start": {"from": "fit", "pick": "nearest", "by": "tag.g"}},
            "/stages/1/start/by: `tag.g` is not an axis of the stage `next` itself",
        ),
        (
            {"start": {"from": "fit", "pick": "nearest", "by": "tag.h"}, "expand": {"grid": {"tag.h": [2]}}},
            "/stages/1/start/by: `tag.h` is not an axis of the stage `fit`",
        ),
        ({"start": {"from": "fit", "by": "tag.g"}}, "/stages/1/start/by: `by` takes a list of axes"),
        ({"start": {"from": "defaults", "pick": "group"}}, "/stages/1/start/pick: stored defaults are one start"),
        ({"start": {"from": "fit", "pick": "worst"}}, '"nearest", "group", {"run": id}'),
        ({"name": "fit"}, "/stages/1/name: the stage `fit` appears twice"),
        (
            {"start": {"from": "fit", "by": ["tag.g"]}, "expand": {"grid": {"tag.g": [2]}}},
            "the axis `tag.g` comes from `fit`",
        ),
    ],
)
def test_findings_of_links(second, expected):
    assert expected in "\n".join(two(**second))


def test_all_findings_come_at_once():
    with pytest.raises(ManifestError) as caught:
        raise ManifestError(
            from_document(
                {**ONE, "seed": -1, "blok": 1, "engine": {}, "expand": {"gird": {}}, "exclude": ["("]}
            ).findings
        )
    assert len(caught.value.diagnostics) == 5


def test_include_only_adds_points():
    rows, _ = table(expand={"grid": {"start.a": [1, 2]}}, include=[{"start.a": 9, "tag.x": "y"}])
    assert rows == [
        {"start.a": 1, "replicate": 0},
        {"start.a": 2, "replicate": 0},
        {"start.a": 9, "tag.x": "y", "replicate": 0},
    ]


def test_derive_sees_axes_earlier_derivations_and_base_values():
    rows, _ = table(
        expand={"grid": {"start.a": [1, 2]}},
        derive={"start.b": "start.a * problem.n", "tag.c": "start.b > 20", "start.d": "start.z / 2"},
    )
    assert [(r["start.b"], r["tag.c"], r["start.d"]) for r in rows] == [(20, False, 0.5), (40, True, 0.5)]


def test_exclude_by_match_and_by_expression():
    rows, points = table(
        expand={"grid": {"start.a": [1, 2, 3], "tag.s": ["x", "y"]}},
        exclude=[{"start.a": 2.0, "tag.s": "x"}, "start.a == 3 and engine.loss == 'linear'"],
    )
    assert [(r["start.a"], r["tag.s"]) for r in rows] == [(1, "x"), (1, "y"), (2, "y")]
    assert (points.n_before, points.n_excluded) == (6, 3)


def test_exclude_on_a_base_value_takes_it_where_a_point_sets_nothing():
    tree = {"union": [{"grid": {"start.z": [1, 2]}}, {"grid": {"start.a": [5]}}]}
    rows, _ = table(expand=tree, exclude=[{"start.z": 1}])
    assert rows == [{"start.z": 2, "replicate": 0}]


def test_derive_runs_before_exclude_and_replicates_last():
    rows, _ = table(
        expand={"grid": {"start.a": [1, 2]}}, derive={"tag.b": "start.a + 1"}, exclude=["tag.b == 3"], replicates=3
    )
    assert [(r["start.a"], r["replicate"]) for r in rows] == [(1, 0), (1, 1), (1, 2)]


def test_an_unknown_name_in_exclude_names_its_place():
    with pytest.raises(ManifestError, match=r"/exclude/0: unknown name `start\.aa`; did you mean `start\.a`"):
        table(expand={"grid": {"start.a": [1]}}, exclude=["start.aa > 1"])


def test_a_design_that_does_not_extend_is_a_warning():
    sample = {"sample": {"design": "lhs", "n": 4, "space": {"start.a": {"uniform": [0, 1]}}}}
    (stage,) = from_document({**ONE, "expand": {"product": [sample]}}).manifest.stages
    assert "raising n of a `lhs` design changes every point" in stage.warnings[0]


def test_a_profile_changes_what_it_names():
    manifest = from_document(
        {**ONE, "execution": {"workers": 2, "layout": "packed"}, "profiles": {"a": {"workers": 8}}}
    )
    execution = manifest.manifest.execution_for("a")
    assert (execution.workers, execution.layout) == (8, "packed")
    with pytest.raises(UnknownName):
        manifest.manifest.execution_for("b")


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(DataFileError, match="cannot be read"):
        load(tmp_path / "none.json")
