"""Plans of the reference problem `decay`, engine `trf`: counts, places, extension."""

import json
import subprocess
import sys

import numpy as np
import pytest

from campaign.errors import ManifestError
from campaign.identity import run_document, run_id
from campaign.manifest.load import from_document
from campaign.schedule.blocks import block_size, place_rows
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage
from campaign.store.previous import Previous


def manifest(**keys):
    document = {
        "schema": "campaign/1",
        "name": "t",
        "seed": 7,
        "problem": {"name": "decay", "n": 20},
        "engine": {"name": "trf"},
        **keys,
    }
    return open_document(document)


def sobol(n):
    return {"sample": {"design": "sobol", "n": n, "space": {"start.rate": {"uniform": [0.5, 2]}}}}


def ids(part):
    return part.rows.column("run_id").to_pylist()


@pytest.mark.parametrize(
    ("n_rows", "max_block", "size"),
    [
        (1, 1024, 1),
        (32, 1024, 1),
        (64, 1024, 2),
        (90, 1024, 2),
        (91, 1024, 4),
        (100_000, 1024, 1024),
        (100_000, 64, 64),
    ],
)
def test_block_size_is_the_power_of_two_nearest_to_a_32nd(n_rows, max_block, size):
    assert block_size(n_rows, max_block) == size


def test_block_key_overrides_the_rule():
    assert block_size(1_000_000, 1024, 7) == 7


def test_rows_of_a_program_are_consecutive_and_cut_into_blocks():
    row, block, first = place_rows(np.array([0, 1, 0, 1, 0]), np.array([2, 1]))
    assert row.tolist() == [0, 0, 1, 1, 2]
    assert block.tolist() == [0, 2, 0, 3, 1]
    assert first.tolist() == [0, 2]


def test_structural_axes_make_programs_and_varying_ones_do_not():
    expand = {"product": [{"grid": {"problem.n": [20, 30], "problem.sigma": [0.1, 0.2, 0.3]}}, sobol(4)]}
    part = plan_stage(manifest(expand=expand), "main")
    assert part.header["n_runs"] == 2 * 3 * 4
    assert [p["n_rows"] for p in part.header["programs"].values()] == [12, 12]
    assert [p["problem"]["n"] for p in part.header["programs"].values()] == [20, 30]
    assert part.header["axes"]["problem.n"] == {"type": "int", "varying": False}
    assert part.header["axes"]["problem.sigma"] == {"type": "float", "varying": True}
    assert part.rows.column("problem.sigma").to_pylist()[:8] == [0.1] * 4 + [0.2] * 4


def test_run_id_is_the_hash_of_the_documented_document():
    part = plan_stage(manifest(expand={"grid": {"start.rate": [1.5], "problem.sigma": [0.25]}}, replicates=2), "main")
    program = next(iter(part.header["programs"].values()))
    expected = [
        run_id(
            run_document(
                problem={**program["problem"], "sigma": 0.25},
                engine=program["engine"],
                start={"rate": 1.5},
                scale={},
                seed=7,
                replicate=r,
                versions=program["versions"],
                files={},
            ),
            unkeyed=("max_steps",),
        )
        for r in (0, 1)
    ]
    assert ids(part) == expected


def test_extension_keeps_earlier_rows_and_places_only_new_ones():
    first = plan_stage(manifest(expand=sobol(8)), "main")
    second = plan_stage(manifest(expand=sobol(12)), "main", previous=first)
    assert ids(second)[:8] == ids(first)
    assert (second.header["n_new"], second.header["n_kept"], second.header["n_removed"]) == (4, 8, 0)
    assert second.rows.column("part").to_pylist() == [0] * 8 + [1] * 4
    assert second.rows.column("row").to_pylist() == [*range(8), *range(4)]
    (name,) = second.header["programs"]
    assert name == next(iter(first.header["programs"])) + "-1"


def test_a_run_that_returns_gets_its_old_place():
    parts = [plan_stage(manifest(expand=sobol(8)), "main")]
    parts.append(plan_stage(manifest(expand=sobol(4)), "main", previous=Previous.of(*parts)))
    assert (parts[1].header["n_new"], parts[1].header["n_removed"]) == (0, 4)
    third = plan_stage(manifest(expand=sobol(8)), "main", previous=Previous.of(*parts))
    assert third.header["n_new"] == 0
    assert third.rows.column("row").to_pylist() == list(range(8))


def test_identical_runs_are_one_run_and_are_counted():
    expand = {"union": [{"grid": {"start.rate": [1, 2]}}, {"grid": {"start.rate": [1.0, 3]}}]}
    part = plan_stage(manifest(expand=expand), "main")
    assert part.rows.column("start.rate").to_pylist() == [1.0, 2.0, 3.0]
    assert part.header["n_duplicates"] == 1


def test_tags_label_and_blocks_do_not_enter_the_id():
    plain = plan_stage(manifest(expand={"grid": {"start.rate": [1, 2]}}), "main")
    tagged = plan_stage(
        manifest(expand={"zip": {"start.rate": [1, 2], "tag.x": ["a", "b"], "label": ["l", "m"]}}, block=1), "main"
    )
    assert ids(plain) == ids(tagged)
    assert tagged.rows.column("label").to_pylist() == ["l", "m"]


def test_reordered_keys_change_no_id():
    grid = {"problem.n": [20, 30], "start.rate": [1, 2]}
    one = plan_stage(manifest(expand={"grid": grid}), "main")
    other = plan_stage(manifest(expand={"grid": dict(reversed(grid.items()))}), "main")
    assert sorted(ids(one)) == sorted(ids(other))
    assert ids(one) != ids(other)


def test_an_axis_overrides_the_base_and_absence_keeps_it():
    expand = {"union": [{"grid": {"start.rate": [2]}}, {"grid": {"start.offset": [0.1]}}]}
    part = plan_stage(manifest(start={"rate": 1}, expand=expand), "main")
    explicit = plan_stage(
        manifest(expand={"list": [{"start.rate": 2}, {"start.rate": 1, "start.offset": 0.1}]}), "main"
    )
    assert ids(part) == ids(explicit)
    assert len(part.header["programs"]) == 1


def test_free_parameters_are_checked_and_enter_the_id():
    free = plan_stage(manifest(problem={"name": "decay", "free": ["rate", "offset"]}), "main")
    fixed = plan_stage(manifest(problem={"name": "decay", "free": ["offset", "rate"]}), "main")
    other = plan_stage(manifest(problem={"name": "decay"}), "main")
    assert ids(free) == ids(fixed) != ids(other)
    with pytest.raises(ManifestError, match="did you mean `rate`"):
        manifest(problem={"name": "decay", "free": ["rat"]})


def test_everything_excluded_is_an_error():
    with pytest.raises(ManifestError, match="no runs"):
        manifest(expand={"grid": {"start.rate": [1]}}, exclude=["start.rate > 0"])


def test_planning_imports_no_jax():
    code = (
        "import sys, json; from campaign.schedule.check import open_document;"
        "from campaign.schedule.planning import plan_stage; from campaign.schedule import pending;"
        f"m = open_document(json.loads({json.dumps(json.dumps(from_document_text()))}));"
        "plan_stage(m, 'main'); print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def from_document_text():
    return {
        "schema": "campaign/1",
        "name": "t",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": sobol(8),
    }


def test_load_without_plugins_does_not_ask_them():
    document = {**from_document_text(), "problem": {"name": "nowhere"}}
    assert from_document(document).findings == ()
