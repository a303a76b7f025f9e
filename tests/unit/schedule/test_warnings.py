"""What a plan says of points that are lost or rules that do nothing, and of counts that a machine cannot hold."""

import pytest

from campaign.errors import ManifestError
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage


def document(**changes):
    base = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    return {**base, **changes}


def warnings(**changes):
    part = plan_stage(open_document(document(**changes)), "main")
    return part.header["n_runs"], part.header["warnings"]


def test_points_that_differ_in_tags_only():
    n, (text,) = warnings(expand={"grid": {"problem.n": [10, 20], "tag.x": [1, 2, None], "tag.y": ["a"]}})
    assert n == 2
    assert text.startswith("6 points are 2 runs: points that differ in `tag.x` only are one run")


def test_equal_points_are_one_run_and_that_is_said():
    n, (said,) = warnings(expand={"list": [{"problem.n": 10, "tag.x": 1}, {"problem.n": 10, "tag.x": 1}]})
    assert n == 1
    assert "2 points are 1 run: equal points are one run" in said


def test_a_rule_that_excludes_nothing():
    n, found = warnings(
        expand={"grid": {"problem.sigma": {"range": [0.1, 0.6, 0.1]}}},
        exclude=[{"problem.sigma": 0.3}, {"problem.sigma": 0.35}, "problem.sigma > 1"],
    )
    assert n == 4
    assert found == [f"/exclude/{i}: excludes nothing: no point fits it" for i in (1, 2)]


@pytest.mark.parametrize("engine", [{"name": "trf", "max_steps": 2**31}, {"name": "ensemble", "steps": 2**33}])
def test_more_steps_than_a_counter_holds(engine):
    with pytest.raises(ManifestError, match="less than or equal to 2147483647"):
        open_document(document(engine=engine))


def test_an_import_error_is_one_finding(tmp_path):
    (tmp_path / "p.py").write_text("import nothing_of_that_name\n")
    changed = document(problem={"name": "p.py:m"}, expand={"grid": {"problem.s": [1.0, 2.0]}})
    with pytest.raises(ManifestError) as raised:
        open_document(changed, folder=tmp_path)
    (finding,) = raised.value.diagnostics
    assert finding.message.startswith("`p.py` line 1 cannot be imported")
