"""Stages that start from the results of others, with results written by hand."""

import json

import pytest

from campaign.errors import InvalidValue, ManifestError
from campaign.schedule.check import open_document
from campaign.schedule.planning import count_stage, plan_stage


def manifest(second, first=None):
    fit = {
        "name": "fit",
        "problem": {"name": "decay", "n": 20},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.sigma": [0.1, 0.2], "problem.n": [20, 30], "start.rate": [1, 2]}},
    }
    later = {"name": "later", "engine": {"name": "trf"}, **second}
    return open_document({"schema": "campaign/1", "name": "t", "stages": [{**fit, **(first or {})}, later]})


def results(m, **overrides):
    """One row a run of the stage `fit`: loss = 10 − row number, so that the last run of a group is its best."""
    part = plan_stage(m, "fit")
    frame = part.rows.to_pandas()[["run_id", *part.header["axes"]]]
    frame["status"], frame["loss"] = "ok", [10.0 - i for i in range(len(frame))]
    frame["theta.rate"], frame["theta.offset"] = [0.5 + i / 10 for i in range(len(frame))], 0.25
    frame["stderr.rate"], frame["stderr.offset"] = 0.1, None
    for name, values in overrides.items():
        frame[name.replace("__", ".")] = values
    return part, frame


def rows(part):
    return part.rows.to_pylist()


BY = {"start": {"from": "fit", "by": ["problem.sigma", "problem.n"]}}


def test_best_of_each_group_gives_start_scale_and_source():
    m = manifest(BY)
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [(r["problem.sigma"], r["problem.n"], r["start.rate"]) for r in rows(later)] == [
        (0.1, 20, 0.6),
        (0.1, 30, 0.8),
        (0.2, 20, 1.0),
        (0.2, 30, 1.2),
    ]
    assert [r["tag.source"] for r in rows(later)] == frame["run_id"].tolist()[1::2]
    assert {r["scale.rate"] for r in rows(later)} == {0.1}
    assert "scale.offset" not in later.rows.column_names
    assert {r["start.offset"] for r in rows(later)} == {0.25}
    assert [p["problem"]["n"] for p in later.header["programs"].values()] == [20, 30]
    assert later.header["n_runs"] == count_stage(m, "later", part) == 4


def test_ties_go_to_the_smaller_run_id_and_failures_never_win():
    m = manifest({"start": {"from": "fit"}})
    part, frame = results(m, loss=[5.0] * 8, status=["failed"] + ["ok"] * 7)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["tag.source"] for r in rows(later)] == [min(frame["run_id"][1:])]


def test_without_by_a_stage_without_problem_inherits_the_winners_options():
    m = manifest({"start": {"from": "fit"}})
    part, frame = results(m)
    (row,) = rows(plan_stage(m, "later", starts=frame, source=part))
    assert (row["problem.n"], row["problem.sigma"]) == (30, 0.2)


def test_a_group_without_an_ok_run_is_blocked_with_its_reason():
    m = manifest(BY)
    part, frame = results(m, status=["failed"] * 2 + ["ok"] * 6, loss=[None] * 2 + [1.0] * 6)
    blocked, *others = rows(plan_stage(m, "later", starts=frame, source=part))
    assert blocked["blocked"] == "no run of stage `fit` with problem.sigma = 0.1, problem.n = 20 ended ok"
    assert blocked["tag.source"] is None
    assert blocked["start.rate"] is None
    assert [r["blocked"] for r in others] == [None] * 3


def test_all_takes_one_row_a_run():
    m = manifest({"start": {"from": "fit", "pick": "all"}})
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["tag.source"] for r in rows(later)] == frame["run_id"].tolist()
    assert later.header["n_runs"] == count_stage(m, "later", part) == 8


def test_one_run_by_the_beginning_of_its_id():
    m = manifest(BY)
    part, frame = results(m)
    wanted = frame["run_id"][3]
    m = manifest({"start": {"from": "fit", "pick": {"run": wanted[:12]}}})
    (row,) = rows(plan_stage(m, "later", starts=frame, source=part))
    assert row["tag.source"] == wanted
    m = manifest({"start": {"from": "fit", "pick": {"run": "zz"}}})
    with pytest.raises(ManifestError, match="/stages/1/start/pick: no run of stage `fit`"):
        plan_stage(m, "later", starts=frame, source=part)


def test_explicit_values_and_axes_go_over_inherited_ones():
    expand = {"union": [{"grid": {"start.offset": [0.5]}}, {"grid": {"tag.x": [1]}}]}
    m = manifest({"start": {"from": "fit", "rate": 3.0}, "expand": expand})
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["start.offset"] for r in rows(later)] == [0.5, 0.25]
    assert "start.rate" not in later.rows.column_names
    assert next(iter(later.header["programs"].values()))["start"] == {"rate": 3.0}


def test_expansion_is_crossed_with_the_groups():
    m = manifest({**BY, "replicates": 3, "expand": {"grid": {"engine.max_steps": [5, 6]}}})
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert later.header["n_runs"] == count_stage(m, "later", part) == 4 * 2 * 3


def test_another_problem_takes_only_what_it_knows():
    problem = {"name": "gaussian", "d": 2}
    m = manifest({"start": {"from": "fit", "by": ["problem.n"]}, "problem": problem})
    part, frame = results(m, theta__x0=[float(i) for i in range(8)])
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["problem.n"] for r in rows(later)] == [20, 30]
    assert [r["start.x0"] for r in rows(later)] == [5.0, 7.0]
    assert "start.rate" not in later.rows.column_names
    assert later.header["axes"]["problem.n"] == {"type": "int", "varying": False}
    assert next(iter(later.header["programs"].values()))["problem"] == {
        "name": "gaussian",
        "d": 2,
        "mean": 1.0,
        "correlation": 0.5,
    }


def test_json_axes_keep_their_values():
    first = {"expand": {"list": [{"problem.free": ["rate"]}, {"problem.free": ["rate", "offset"]}]}}
    m = manifest({"start": {"from": "fit", "by": ["problem.free"]}}, first)
    part, frame = results(m)
    assert frame["problem.free"].tolist() == ['["rate"]', '["rate","offset"]']
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [p["free"] for p in later.header["programs"].values()] == [["rate"], ["rate", "offset"]]
    assert json.loads(rows(later)[1]["problem.free"]) == ["rate", "offset"]


def test_the_results_must_be_there():
    with pytest.raises(InvalidValue, match="run the stage `fit` first"):
        plan_stage(manifest(BY), "later")


def test_stored_defaults_are_starts_that_the_document_overrides():
    document = {
        "schema": "campaign/1",
        "name": "t",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "start": {"from": "defaults", "offset": 0.75},
    }
    asked = []

    def load_defaults(model):
        asked.append(model)
        return {"rate": 0.5, "offset": 0.1, "unknown": 1.0}

    part = plan_stage(open_document(document), "main", load_defaults=load_defaults)
    assert asked == ["decay"]
    assert next(iter(part.header["programs"].values()))["start"] == {"rate": 0.5, "offset": 0.75}
