"""Stages that start from the results of others, with results written by hand."""

import json

import numpy as np
import pytest

from campaign.errors import InvalidValue, ManifestError
from campaign.reduce.schema import FIXED_NAMES
from campaign.schedule.check import open_document
from campaign.schedule.members import members_of
from campaign.schedule.planning import plan_stage
from campaign.schedule.stage_points import expected, points_of
from campaign.store.gather import PLAIN
from campaign.store.members import members_file, read_members


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


def count_stage(m, name, source):
    """Runs of a stage before its source has run."""
    return expected(m, m.stage(name), points_of(source)).points.n


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


def test_a_degenerate_run_wins_only_where_all_are():
    m = manifest({"start": {"from": "fit"}})
    outcomes = ["degenerate"] * 3 + ["budget", "converged", "stalled"] + ["degenerate"] * 2
    part, frame = results(m, outcome=outcomes)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["tag.source"] for r in rows(later)] == [frame["run_id"][5]]
    part, frame = results(m, outcome="degenerate")
    assert rows(plan_stage(m, "later", starts=frame, source=part))[0]["tag.source"] == frame["run_id"][7]


def test_without_by_a_stage_without_problem_inherits_the_winners_options():
    m = manifest({"start": {"from": "fit"}})
    part, frame = results(m)
    (row,) = rows(plan_stage(m, "later", starts=frame, source=part))
    assert (row["problem.n"], row["problem.sigma"]) == (30, 0.2)


def test_a_stage_without_problem_inherits_the_options_that_its_groups_do_not_name():
    """Groups by a tag alone: each posterior is that of the problem whose best fit it starts from."""
    m = manifest(
        {"start": {"from": "fit", "by": ["tag.set"]}},
        first={"expand": {"zip": {"tag.set": ["a", "b"], "problem.sigma": [0.1, 0.2], "problem.n": [30, 40]}}},
    )
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    found = [(r["tag.set"], r["problem.sigma"], r["problem.n"]) for r in rows(later)]
    assert found == [("a", 0.1, 30), ("b", 0.2, 40)]
    assert len(later.header["programs"]) == 2  # of other shapes: n is part of each


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


def test_the_n_best_of_each_group_have_a_rank():
    m = manifest({"start": {"from": "fit", "pick": {"best": 2}, "by": ["problem.sigma"]}})
    part, frame = results(m, loss=[4.0, 2.0, 3.0, 1.0, 7.0, 7.0, 9.0, 8.0])
    later = plan_stage(m, "later", starts=frame, source=part)
    tie = sorted([4, 5], key=lambda i: frame["run_id"][i])
    assert [r["tag.source"] for r in rows(later)] == [frame["run_id"][i] for i in (3, 1, *tie)]
    assert [(r["problem.sigma"], r["tag.rank"]) for r in rows(later)] == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert [r["start.rate"] for r in rows(later)] == frame["theta.rate"][[3, 1, *tie]].tolist()
    assert later.header["warnings"] == []
    assert later.header["n_runs"] == count_stage(m, "later", part) == 4


def test_fewer_ok_runs_than_asked_for_are_all_taken_and_the_plan_says_so():
    m = manifest({"start": {"from": "fit", "pick": {"best": 3}, "by": ["problem.sigma"]}})
    status = ["ok", "failed", "failed", "ok"] + ["failed"] * 4
    part, frame = results(m, status=status)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert count_stage(m, "later", part) == 6
    assert [(r["tag.rank"], r["tag.source"]) for r in rows(later)] == [
        (1, frame["run_id"][3]),
        (2, frame["run_id"][0]),
        (1, None),
    ]
    assert rows(later)[2]["blocked"] == "no run of stage `fit` with problem.sigma = 0.2 ended ok"
    assert later.header["warnings"] == [
        "/stages/1/start/pick: 1 of 2 groups of stage `fit` have fewer than 3 runs that ended ok; the fewest are 2"
    ]


def test_a_rank_can_be_excluded_before_and_after_the_source_ran():
    m = manifest({"start": {"from": "fit", "pick": {"best": 3}}, "exclude": ["tag.rank == 2"]})
    part, frame = results(m)
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["tag.rank"] for r in rows(later)] == [1, 3]
    assert count_stage(m, "later", part) == 2


NEAREST = {
    "problem": {"name": "decay"},
    "start": {"from": "fit", "pick": "nearest", "by": "problem.sigma"},
    "expand": {"grid": {"problem.sigma": [0.01, 0.14, 0.15, 0.16, 0.2]}},
}


def test_nearest_starts_each_run_from_the_run_whose_key_is_nearest():
    m = manifest(NEAREST)
    losses = [4.0, 2.0, 3.0, 1.0, 0.5, 7.0, 9.0, 8.0]  # sigma 0.1: the run 3 is the best; sigma 0.2: the run 4
    part, frame = results(m, loss=losses)
    later = plan_stage(m, "later", starts=frame, source=part)
    # 0.15 is as near to 0.1 as to 0.2: the lower loss
    assert [r["tag.source"] for r in rows(later)] == [frame["run_id"][i] for i in (3, 3, 4, 4, 4)]
    assert [r["start.rate"] for r in rows(later)] == [frame["theta.rate"][i] for i in (3, 3, 4, 4, 4)]
    assert [r["problem.sigma"] for r in rows(later)] == [0.01, 0.14, 0.15, 0.16, 0.2]
    assert "problem.n" not in later.rows.column_names  # the stage has a problem of its own
    assert later.header["n_runs"] == count_stage(m, "later", part) == 5


def test_nearest_without_a_problem_of_its_own_takes_the_options_that_it_does_not_set():
    m = manifest({key: value for key, value in NEAREST.items() if key != "problem"})
    part, frame = results(m, loss=[4.0, 2.0, 3.0, 1.0, 0.5, 7.0, 9.0, 8.0])
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["problem.n"] for r in rows(later)] == [30, 30, 20, 20, 20]
    assert [r["problem.sigma"] for r in rows(later)] == [0.01, 0.14, 0.15, 0.16, 0.2]


def test_nearest_leaves_failed_runs_out_and_own_values_alone():
    m = manifest({**NEAREST, "expand": {"list": [{"problem.sigma": 0.1}, {"problem.sigma": 0.1, "start.rate": 9.0}]}})
    part, frame = results(m, status=["failed"] * 7 + ["ok"])
    later = plan_stage(m, "later", starts=frame, source=part)
    assert [r["tag.source"] for r in rows(later)] == [frame["run_id"][7]] * 2
    assert [r["start.rate"] for r in rows(later)] == [1.2, 9.0]
    part, frame = results(m, status="failed")
    blocked = rows(plan_stage(m, "later", starts=frame, source=part))
    assert [r["blocked"] for r in blocked] == [
        "no run of stage `fit` ended ok that could be near to problem.sigma = 0.1"
    ] * 2


def test_nearest_compares_numbers():
    first = {"expand": {"grid": {"tag.night": ["a", "b"], "start.rate": [1, 2]}}}
    start = {"from": "fit", "pick": "nearest", "by": "tag.night"}
    with pytest.raises(ManifestError, match=r"/stages/1/start/by: the axis `tag.night` holds string values"):
        manifest({"start": start, "expand": {"grid": {"tag.night": ["a"]}}}, first)


GROUP = {
    "start": {"from": "fit", "pick": "group", "by": ["problem.sigma"]},
    "problem": {"name": "combine", "parameters": ["rate", "offset"]},
    "engine": {"name": "evaluate"},
}
ARRAYS = {"covariance", "parameter", "loss"}


def group(m, **overrides):
    part, frame = results(m, **overrides)
    return plan_stage(m, "later", starts=frame, source=part, arrays=ARRAYS), part, frame


def members(plan, key):
    (content,) = plan.snapshots.values()
    return read_members(content, key)


def test_a_group_run_names_all_ok_runs_of_its_group():
    m = manifest(GROUP)
    later, part, frame = group(m, status=["failed"] + ["ok"] * 7)
    assert [(r["problem.sigma"], r["tag.n_members"]) for r in rows(later)] == [(0.1, 3), (0.2, 4)]
    assert members(later, rows(later)[0]["members"]) == sorted(frame["run_id"][1:4])
    assert members(later, rows(later)[1]["members"]) == sorted(frame["run_id"][4:])
    assert "start.rate" not in later.rows.column_names
    assert len(later.header["programs"]) == 2  # three members and four: arrays of different shapes
    (name,) = later.snapshots
    assert {p["gather"]["file"] for p in later.header["programs"].values()} == {name}
    assert later.header["n_runs"] == count_stage(m, "later", part) == 2


def test_the_members_are_part_of_the_run_id():
    m = manifest(GROUP)
    before, _, _ = group(m, status=["failed"] + ["ok"] * 7)
    after, _, frame = group(m)
    assert rows(after)[0]["run_id"] != rows(before)[0]["run_id"]  # its group has grown
    assert rows(after)[1]["run_id"] == rows(before)[1]["run_id"]
    part, _ = results(m)
    mixed = frame.sample(frac=1.0, random_state=1)
    again = plan_stage(m, "later", starts=mixed, source=part, arrays=ARRAYS)
    assert {r["run_id"] for r in rows(again)} == {r["run_id"] for r in rows(after)}
    tried, _, _ = group(m, attempt=[1] + [0] * 7)
    assert rows(tried)[0]["run_id"] != rows(after)[0]["run_id"]  # a retried member may say something else
    assert rows(tried)[1]["run_id"] == rows(after)[1]["run_id"]


def test_a_group_without_members_is_blocked_with_its_reason():
    later, _, _ = group(manifest(GROUP), status=["failed"] * 4 + ["ok"] * 4)
    blocked, other = rows(later)
    assert blocked["blocked"] == "no run of stage `fit` with problem.sigma = 0.1 ended ok"
    assert (blocked["members"], blocked["tag.n_members"]) == (None, 0)
    assert other["blocked"] is None


def test_a_million_members_are_sixteen_bytes_each():
    ids = np.char.zfill(np.array([f"{i:x}" for i in range(10**6)]), 32)
    nothing = np.zeros(10**6, dtype=np.int64)
    keys, found = members_of(ids, nothing, nothing, np.ones(10**6, dtype=bool), 1)
    _, content = members_file(found)
    assert len(content) < 16.1e6
    assert keys[0] is not None
    assert read_members(content, keys[0])[-1] == f"{10**6 - 1:032x}"


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (
            {"start": {"from": "fit", "pick": "group"}},
            "/stages/1/start/pick: the problem `decay` reads no runs",
        ),
        (
            {**GROUP, "start": {"from": "fit"}},
            "/stages/1/problem/name: the problem `combine` reads runs of an earlier stage",
        ),
    ],
)
def test_groups_are_for_problems_that_gather(second, expected):
    with pytest.raises(ManifestError, match=expected):
        manifest(second)


@pytest.mark.parametrize("trace", [False, {"fields": []}])
def test_a_stage_that_records_no_arrays_has_none_to_read(trace):
    with pytest.raises(ManifestError) as caught:
        manifest(GROUP, {"trace": trace})
    assert [str(d.place) for d in caught.value.diagnostics] == ["/stages/0/trace"]
    assert (
        "reads `covariance`, `parameter`, and the stage `fit` records no arrays" in caught.value.diagnostics[0].message
    )


def test_plain_columns_are_those_of_the_table():
    assert PLAIN <= FIXED_NAMES


def test_a_field_that_the_runs_do_not_have():
    m = manifest(GROUP)
    part, frame = results(m)
    with pytest.raises(ManifestError, match=r"/stages/1/problem/name: .* reads `covariance`, which the runs of stage"):
        plan_stage(m, "later", starts=frame, source=part, arrays={"covariances", "parameter"})
    with pytest.raises(ManifestError, match=r"did you mean `covariances`"):
        plan_stage(m, "later", starts=frame, source=part, arrays={"covariances", "parameter"})
    bare = frame.drop(columns=["theta.rate", "theta.offset"])
    with pytest.raises(ManifestError, match=r"reads `theta\.\*`"):
        plan_stage(m, "later", starts=bare, source=part, arrays=ARRAYS)
