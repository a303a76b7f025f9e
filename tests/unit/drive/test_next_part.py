"""What a submission would plan, before it plans it: counts, what waits, and what cannot be."""

from __future__ import annotations

import json

import pytest

from campaign.drive.next_part import _continued, check_execution, follows, plan, planned, validate
from campaign.errors import Incomplete, InvalidValue, ManifestError, UnknownName
from campaign.manifest.load import loads
from campaign.schedule.keeping import placed
from campaign.store import plan as plans
from campaign.store.claim import claim
from campaign.store.layout import Layout
from campaign.store.records import dumps
from campaign.store.summaries import publish_block

SCAN = {
    "name": "scan",
    "problem": {"name": "decay", "n": 5},
    "engine": {"name": "evaluate"},
    "expand": {"grid": {"start.rate": [1.0, 2.0, 3.0], "problem.sigma": [0.1, 0.2]}},
    "exclude": [{"start.rate": 3.0, "problem.sigma": 0.2}],
    "trace": False,
    "block": 2,
}
FIT = {"name": "fit", "engine": {"name": "trf"}, "start": {"from": "scan", "pick": "all"}, "trace": False}


def write(folder, *stages, **keys):
    path = folder / "m.json"
    path.write_text(json.dumps({"schema": "campaign/1", "name": "t", "stages": list(stages), **keys}))
    return path


def test_which_stage_another_waits_for():
    text = {
        "schema": "campaign/1",
        "name": "t",
        "stages": [SCAN, FIT, SCAN | {"name": "own", "start": {"from": "defaults"}}],
    }
    stages = loads(json.dumps(text), source="t.json").stages
    assert [follows(stage) for stage in stages] == [None, "scan", None]


def test_a_stage_that_starts_from_another_cannot_be_planned_before_it(tmp_path):
    manifest = loads(write(tmp_path, SCAN, FIT).read_bytes(), source="t.json")
    with pytest.raises(Incomplete, match="stage `fit` starts from `scan`, which has no plan yet"):
        planned(Layout(tmp_path), manifest, manifest.stages[1])


def test_an_empty_directory_plans_everything(tmp_path):
    _, (scan, fit) = validate(write(tmp_path, SCAN, FIT))
    assert (scan.n_points, scan.n_excluded, scan.n_runs, scan.n_new, scan.n_done) == (6, 1, 5, 5, 0)
    assert scan.n_blocks == 3
    assert scan.waits_for is None
    assert [program["n_rows"] for program in scan.programs.values()] == [5]
    # counts of the second are known, what it writes is not
    assert (fit.n_points, fit.n_runs, fit.n_new, fit.n_blocks) == (5, 5, 5, 0)
    assert (fit.waits_for, fit.cost, fit.programs) == ("scan", None, {})


def submitted(layout, folder, path):
    manifest = loads(path.read_bytes(), folder=folder, source="t.json")
    part = placed(planned(layout, manifest, manifest.stages[0]), layout, None)
    plans.write_part(layout, part)
    return part


def test_a_directory_counts_what_is_done_new_and_gone(tmp_path):
    layout = Layout(tmp_path / "c")
    path = write(tmp_path, SCAN, FIT)
    layout.root.mkdir()
    claim(layout, "t", folder=tmp_path, mode="packed", checkpoint_s=None)
    submitted(layout, tmp_path, path)
    for block in (0, 2):  # of 2, 2 and 1 runs
        publish_block(layout, "scan", 0, block, [dumps({})])
    (scan, fit) = plan(path, layout.root)
    assert (scan.n_runs, scan.n_new, scan.n_done, scan.n_removed) == (5, 0, 3, 0)
    assert (scan.n_blocks, scan.cost.n_files) == (0, 0)
    assert fit.waits_for == "scan"  # it is not complete
    more = write(tmp_path, SCAN | {"expand": {"grid": {"start.rate": [1.0, 7.0], "problem.sigma": [0.1, 0.2]}}}, FIT)
    (scan, _) = plan(more, layout.root)
    assert (scan.n_runs, scan.n_new, scan.n_removed) == (4, 2, 3)
    rows = plans.read_rows(layout, "scan", 0).to_pylist()
    kept = [row["block"] for row in rows if row["start.rate"] == 1.0]
    assert scan.n_done == sum(block in (0, 2) for block in kept)
    assert plans.parts(layout, "scan") == (0,)  # nothing was written


def test_the_layout_of_a_campaign_decides_the_files_of_the_next_part(tmp_path):
    path = write(tmp_path, SCAN)
    packed, folders = tmp_path / "packed", tmp_path / "folders"
    for root in (packed, folders):
        root.mkdir()
        claim(Layout(root), "t", folder=tmp_path, mode="packed" if root == packed else "directories", checkpoint_s=None)
    assert plan(path, packed)[0].cost.n_files == 3  # a file a block
    assert plan(path, folders)[0].cost.n_files == 3 + 2 * 5


def test_a_run_that_a_stage_starts_from_must_be_planned(tmp_path):
    pick = {"from": "scan", "pick": {"run": "0" * 32}}
    with pytest.raises(ManifestError) as caught:
        validate(write(tmp_path, SCAN, FIT | {"start": pick}))
    assert f"/stages/1/start/pick: no run of stage `scan` has an id that begins with `{'0' * 32}`" in str(caught.value)
    manifest = loads(write(tmp_path, SCAN).read_bytes(), source="t.json")
    scan = planned(None, manifest, manifest.stages[0])
    run_id = scan.rows.column("run_id")[3].as_py()
    _, (_, fit) = validate(write(tmp_path, SCAN, FIT | {"start": {"from": "scan", "pick": {"run": run_id[:12]}}}))
    assert fit.n_runs == 1


def test_steps_that_are_done_are_counted_by_how_many(tmp_path):
    programs = [
        {"n_rows": 3, "continues": {"steps": 100}},
        {"n_rows": 4},
        {"n_rows": 5, "continues": {"steps": 200}},
        {"n_rows": 7, "continues": {"steps": 100}},
    ]
    assert _continued(programs) == {100: 10, 200: 5}


def test_executors_of_profiles_are_looked_at_too(tmp_path):
    def checked(**keys):
        check_execution(loads(write(tmp_path, SCAN, **keys).read_bytes(), source="t.json"))

    checked(execution={"executor": "inline"}, profiles={"big": {"executor": "dask"}, "none": {"workers": 2}})
    with pytest.raises(UnknownName, match="unknown executor `inlin`"):
        checked(execution={"executor": "inlin"})
    with pytest.raises(UnknownName) as caught:
        checked(profiles={"ok": {"executor": "inline"}, "big": {"executor": "dusk"}})
    assert "unknown executor `dusk` at /profiles/big/executor" in str(caught.value)
    assert "`dask`" in (caught.value.hint or "")
    with pytest.raises(InvalidValue):
        checked(execution={"executor": "inline", "options": {"devise": "cpu"}})
