"""The plan on disk: written, read back by block, planned again."""

import pyarrow.parquet as pq
import pytest

from campaign.errors import Damage, UnknownName, UsageError
from campaign.schedule.check import open_document
from campaign.schedule.pending import pending, planned_blocks, replan_failed
from campaign.schedule.planning import plan_stage
from campaign.store import plan
from campaign.store.layout import BlockTask, Layout
from campaign.store.previous import previous


def manifest(n_rates, n=(20, 30)):
    rates = {"linspace": [1, 2, n_rates]}
    return open_document(
        {
            "schema": "campaign/1",
            "name": "t",
            "problem": {"name": "decay"},
            "engine": {"name": "trf"},
            "expand": {"grid": {"start.rate": rates, "problem.n": list(n)}},
            "block": 4,
        }
    )


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    plan.write_part(layout, plan_stage(manifest(10), "main"))
    return layout


def nothing(layout, stage):
    return set()


def test_a_part_is_read_as_it_was_written(layout):
    part = plan_stage(manifest(10), "main")
    read = plan.read_part(layout, "main", 0)
    assert read.rows.equals(part.rows)
    assert read.header.pop("rows")["bytes"] == layout.plan_rows("main", 0).stat().st_size
    assert read.header | {"created_at": None} == part.header
    assert read.header["created_at"].endswith("+00:00")


def test_a_block_is_consecutive_rows_of_one_program(layout):
    rows = plan.read_block(layout, "main", 0, 1).to_pylist()
    assert [r["row"] for r in rows] == [4, 5, 6, 7]
    assert len({r["program"] for r in rows}) == 1
    assert [r["problem.n"] for r in rows] == [20] * 4
    last = plan.read_block(layout, "main", 0, 5).select(["row"])
    assert last.to_pydict() == {"row": [8, 9]}
    assert plan.read_block(layout, "main", 0, 6).num_rows == 0


def test_row_groups_have_the_documented_size(layout, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "ROW_GROUP", 8)
    other = Layout(tmp_path / "other")
    plan.write_part(other, plan_stage(manifest(10), "main"))
    with pq.ParquetFile(other.plan_rows("main", 0)) as file:
        assert file.metadata.num_row_groups == 3
    assert plan.read_block(other, "main", 0, 1).equals(plan.read_block(layout, "main", 0, 1))


def test_pending_is_what_is_not_published(layout):
    tasks = planned_blocks(layout, "main")
    assert tasks == tuple(BlockTask("main", 0, block) for block in range(6))
    assert pending(layout, "main", published=lambda *_: {(0, 0), (0, 3)}) == (tasks[1], tasks[2], tasks[4], tasks[5])
    assert pending(layout, "none", published=nothing) == ()


def test_pending_spans_the_parts_of_an_extended_plan(layout):
    plan.write_part(layout, plan_stage(manifest(10, (20, 40)), "main", previous=previous(layout, "main")))
    assert plan.latest_part(layout, "main") == 1
    header = plan.read_header(layout, "main", 1)
    assert (header["n_new"], header["n_kept"], header["n_removed"]) == (10, 10, 10)
    assert [(t.part, t.block) for t in pending(layout, "main", published=nothing)] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert plan.read_rows(layout, "main", 1, own=True, columns=["problem.n"]).to_pydict() == {"problem.n": [40] * 10}


def test_failed_runs_get_new_blocks_and_one_attempt_more(layout):
    rows = plan.read_rows(layout, "main", 0).to_pylist()
    chosen = [rows[3]["run_id"], rows[0]["run_id"], rows[5]["run_id"]]
    again = replan_failed(layout, "main", chosen)
    plan.write_part(layout, again)
    new = again.rows.to_pylist()
    assert [r["run_id"] for r in new] == [r["run_id"] for r in rows]
    moved = {r["run_id"]: (r["part"], r["block"], r["row"], r["attempt"]) for r in new if r["part"] == 1}
    # rows 0, 3, 5 are n = 20, 30, 30: programs in the order of their first rows, a row a block (n / 32 < 1)
    assert [moved[rows[i]["run_id"]] for i in (0, 3, 5)] == [(1, 0, 0, 1), (1, 1, 0, 1), (1, 2, 1, 1)]
    assert all(new[i] == rows[i] for i in range(20) if rows[i]["run_id"] not in chosen)
    assert (again.header["n_new"], again.header["n_kept"]) == (3, 17)
    for name, program in again.header["programs"].items():
        old = plan.read_header(layout, "main", 0)["programs"][name.removesuffix("-1")]
        assert program["problem"] == old["problem"]
    twice = replan_failed(layout, "main", [rows[0]["run_id"]])
    assert [r["attempt"] for r in twice.rows.to_pylist() if r["part"] == 2] == [2]
    kept = plan_stage(manifest(10), "main", previous=previous(layout, "main"))
    assert kept.header["n_new"] == 0
    assert sum(kept.rows.column("attempt").to_pylist()) == 3


def test_what_cannot_be_tried_again(layout):
    with pytest.raises(UnknownName, match="1 runs are not in the plan"):
        replan_failed(layout, "main", ["0" * 32])
    with pytest.raises(UsageError, match="no run"):
        replan_failed(layout, "main", [])
    with pytest.raises(UsageError, match="has no plan"):
        replan_failed(layout, "none", ["0" * 32])


def test_damage_is_named(layout):
    layout.plan_header("main", 0).write_text("{}")
    with pytest.raises(Damage, match="is not the header of part 0"):
        plan.read_header(layout, "main", 0)
    layout.plan_rows("main", 0).write_bytes(b"PAR1")
    with pytest.raises(Damage, match="cannot be read"):
        plan.read_rows(layout, "main", 0)
