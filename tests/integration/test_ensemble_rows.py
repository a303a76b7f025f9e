"""What an ensemble's table must hold: runs that never ended, no look into arrays, and the same values as CSV."""

import io
import json

import numpy as np
import pandas
import pytest

import planting as p
from campaign.analysis.handle import open_campaign
from campaign.cli.main import run
from campaign.reduce.reducer import reduce
from campaign.store import summaries
from campaign.store.layout import RunFolder

KILLED = (13, 14, 99)
FIT = p.Planting(n_runs=100, block_size=1)


@pytest.fixture
def campaign(tmp_path):
    """A hundred runs, a block each, of which three were killed before they published anything."""
    layout = p.plant(tmp_path / "r", FIT)
    p.publish(layout, FIT, *(i for i in range(100) if i not in KILLED))
    return layout


def test_runs_that_were_killed_are_rows_without_a_status(campaign):
    reduce(campaign)
    table = open_campaign(campaign.root).table()
    assert len(table) == 100
    assert (table["status"] == "ok").sum() == 97
    left = table[table["status"].isna()]
    assert left["run_id"].tolist() == [FIT.run_id(i) for i in KILLED]
    assert left["loss"].isna().all()
    assert len(open_campaign(campaign.root).runs(state="pending")) == 3


def test_arrays_are_not_read_for_the_table(campaign):
    reduce(campaign)
    before = campaign.table.read_bytes()
    folder = campaign.trace_group("fit", FIT.program_name(0))
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_bytes(b"spoilt")
    (campaign.run_folder(FIT.run_id(0))).mkdir(parents=True)
    RunFolder(campaign.run_folder(FIT.run_id(0))).arrays("trace").write_bytes(b"spoilt")
    campaign.table.unlink()
    assert reduce(campaign).n_done == 97
    assert campaign.table.read_bytes() == before


def test_csv_and_parquet_hold_the_same_values(campaign, capsys):
    assert run(["query", str(campaign.root), "select * from summary", "--csv"]) == 0
    text = capsys.readouterr().out
    found = pandas.read_csv(io.StringIO(text))
    table = open_campaign(campaign.root).table()
    assert list(found.columns) == list(table.columns)
    for name in table.columns:
        if table[name].dtype.kind == "f":
            np.testing.assert_array_equal(found[name], table[name])
        elif table[name].dtype.kind in "iu":
            assert found[name].tolist() == table[name].tolist()
    assert found["status"].isna().tolist() == table["status"].isna().tolist()
    assert json.loads(found["nonfinite"].iloc[0]) == []


def test_a_run_that_is_published_twice_is_one_row(campaign):
    """Two processes that did the same block: the second file replaces the first, whole."""
    p.publish(campaign, FIT, 0)
    assert len(summaries.read_block(campaign, "fit", 0, 0)) == 1
    reduce(campaign)
    assert open_campaign(campaign.root).table()["run_id"].is_unique
