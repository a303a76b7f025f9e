"""Which new runs go on from which that are done, and which begin."""

import numpy as np
import pyarrow.compute as pc
import pytest

from campaign.schedule.check import open_document
from campaign.schedule.pending import replan_failed
from campaign.schedule.planning import plan_stage
from campaign.store import plan
from campaign.store.layout import BlockTask, Layout
from campaign.store.previous import previous
from campaign.store.states import Kept, save

CHAIN = {
    "schema": "campaign/1",
    "name": "chain",
    "problem": {"name": "gaussian"},
    "engine": {"name": "ensemble", "walkers": 8, "steps": 100},
    "replicates": 6,
    "block": 2,
}


def planned(layout, tmp_path, **changes):
    engine = CHAIN["engine"] | changes.pop("engine", {})
    manifest = open_document({**CHAIN, **changes, "engine": engine}, folder=tmp_path)
    part = plan_stage(manifest, "main", previous=previous(layout, "main"))
    plan.write_part(layout, part)
    return part


def keep(layout, part, *blocks):
    for block in blocks:
        state = Kept(rows=np.arange(2), is_spent=np.ones(2, bool), chunk_steps=1, leaves=[])
        save(layout, BlockTask("main", part, block), state)


def steps_before(part):
    """Run → the steps that it goes on from."""
    programs = part.header["programs"]
    rows = part.rows.to_pylist()
    return [programs.get(row["program"], {}).get("continues", {}).get("steps", 0) for row in rows]


def test_runs_whose_state_is_kept_go_on(tmp_path):
    layout = Layout(tmp_path)
    first = planned(layout, tmp_path)
    keep(layout, 0, 0, 2)
    part = planned(layout, tmp_path, engine={"steps": 200}, replicates=7)
    assert steps_before(part) == [100, 100, 0, 0, 100, 100, 0]
    assert part.rows.column("old_row").to_pylist() == [0, 1, -1, -1, 4, 5, -1]
    assert part.header["n_removed"] == 6
    (entry,) = (e["continues"] for e in part.header["programs"].values() if "continues" in e)
    (name,) = first.header["programs"]
    assert entry == {"program": name, "part": 0, "steps": 100, "first_block": 0, "block_size": 2}
    assert part.header["warnings"] == [
        "2 runs are computed from their start: the state of the earlier ones was not kept"
    ]
    chains = [pc.utf8_slice_codeunits(p.rows.column("run_id"), 0, 24).to_pylist() for p in (first, part)]
    assert chains[0] == chains[1][:6]
    assert len(set(chains[1])) == 7
    assert set(first.rows.column("run_id").to_pylist()).isdisjoint(part.rows.column("run_id").to_pylist())


def test_the_longest_that_is_shorter_counts(tmp_path):
    layout = Layout(tmp_path)
    planned(layout, tmp_path)
    keep(layout, 0, 0, 1, 2)
    planned(layout, tmp_path, engine={"steps": 400})
    keep(layout, 1, 0, 1)
    assert steps_before(planned(layout, tmp_path, engine={"steps": 800})) == [400] * 4 + [100] * 2
    assert steps_before(planned(layout, tmp_path, engine={"steps": 300})) == [100] * 6


@pytest.mark.parametrize("changes", [{"engine": {"steps": 200, "walkers": 16}}, {"seed": 1}, {"precision": "float32"}])
def test_another_chain_begins(tmp_path, changes):
    layout = Layout(tmp_path)
    planned(layout, tmp_path)
    keep(layout, 0, 0, 1, 2)
    part = planned(layout, tmp_path, **({"engine": {"steps": 200}} | changes))
    assert steps_before(part) == [0] * 6
    assert "old_row" not in part.rows.column_names
    assert part.header["warnings"] == []


def test_a_retry_with_more_steps_goes_on_and_a_later_one_as_well(tmp_path):
    layout = Layout(tmp_path)
    part = planned(layout, tmp_path)
    ids = part.rows.column("run_id").to_pylist()

    def more(entry):
        return entry | {"engine": entry["engine"] | {"steps": 2 * entry["engine"]["steps"]}}

    again = replan_failed(layout, "main", [ids[4], ids[1]], change=more)
    assert steps_before(again) == [0, 100, 0, 0, 100, 0]
    assert again.rows.column("old_row").to_pylist() == [-1, 1, -1, -1, 4, -1]
    plan.write_part(layout, again)
    third = replan_failed(layout, "main", [ids[4]], change=more)
    assert third.rows.column("old_row").to_pylist() == [-1, 1, -1, -1, 1, -1]
    (entry,) = third.header["programs"].values()
    assert (entry["continues"]["part"], entry["continues"]["steps"], entry["engine"]["steps"]) == (1, 200, 400)
    plan.write_part(layout, third)
    split = replan_failed(layout, "main", [ids[4]], is_attempt=False)  # a block that was lost: it goes on from there
    (kept,) = split.header["programs"].values()
    assert kept["continues"] == entry["continues"]
    assert split.rows.column("old_row").to_pylist()[4] == 1


def test_no_state_is_asked_for_where_nothing_can_go_on(tmp_path):
    part = planned(Layout(tmp_path), tmp_path)
    assert [entry["keep_state"] for entry in part.header["programs"].values()] == [True]
    off = open_document({**CHAIN, "keep_state": False}, folder=tmp_path)
    assert [entry["keep_state"] for entry in plan_stage(off, "main").header["programs"].values()] == [False]
    fit = {**CHAIN, "engine": {"name": "trf"}}
    for document, expected in (
        (fit, False),
        ({**fit, "retry": {"nonconverged": 1}}, True),
        ({**fit, "retry": 1}, False),
    ):
        stage = plan_stage(open_document(document, folder=tmp_path), "main")
        assert [entry["keep_state"] for entry in stage.header["programs"].values()] == [expected]
