"""An opened campaign: tables, runs and traces as a notebook asks for them."""

import os
import time

import numpy as np
import pytest

import planting as p
from campaign.analysis.handle import open_campaign
from campaign.errors import UnknownName


@pytest.fixture
def planted(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish_traces(layout, fit, 0, 1)
    p.publish(layout, fit, 0, 1, changes={2: p.failed()})
    return fit, layout


def test_no_campaign_there(tmp_path):
    with pytest.raises(UnknownName, match="is not a campaign; `campaign submit MANIFEST` makes one"):
        open_campaign(tmp_path / "nothing")


def test_table_and_runs(planted):
    fit, layout = planted
    opened = open_campaign(layout.root)
    assert opened.stages == ("fit",)
    table = opened.table()
    assert len(table) == 10
    assert table["loss"].sum() == sum(range(8)) - 2
    assert table.attrs["units"]["theta.k"] == "1/s"
    best = opened.runs(where="loss < 4 and theta.k > 0.2", state="ok")
    assert list(best["run_id"]) == [fit.run_id(1), fit.run_id(3)]
    assert len(opened.runs(state="pending")) == 2
    assert opened.status().total("n_done") == 8
    with pytest.raises(UnknownName, match="did you mean `loss`"):
        opened.runs(where="los < 1")


def test_the_table_follows_what_is_published(planted):
    fit, layout = planted
    opened = open_campaign(layout.root)
    time.sleep(0.02)  # more than one tick of the file system's clock
    assert opened.table()["status"].notna().sum() == 8
    made = layout.table.stat().st_mtime_ns
    assert opened.table()["status"].notna().sum() == 8
    assert layout.table.stat().st_mtime_ns == made  # nothing new, nothing done
    p.publish(layout, fit, 2)
    assert opened.table()["status"].notna().sum() == 10


def test_where_one_may_only_read_the_table_is_taken_as_it_is(planted, monkeypatch):
    fit, layout = planted
    opened = open_campaign(layout.root)
    opened.table()
    p.publish(layout, fit, 2)

    def refused(*arguments, **keywords):
        raise PermissionError(13, "Permission denied", str(layout.table))

    monkeypatch.setattr("campaign.store.atomic.os.replace", refused)
    assert opened.table()["status"].notna().sum() == 8


def test_trace_of_a_run(planted):
    fit, layout = planted
    trace = open_campaign(layout.root).trace(fit.run_id(6)[:8])
    assert dict(trace.sizes) == {"step": 5, "parameter": 1, "datum": 3}
    np.testing.assert_array_equal(trace["loss"], [6, 7, 8, 9, 10])
    np.testing.assert_array_equal(trace["theta"].sel(parameter="k"), [-6, -7, -8, -9, -10])
    assert trace["theta"].attrs["units"] == "1/s"
    assert str(trace["run_id"].values) == fit.run_id(6)


def test_trace_of_a_run_that_has_none(planted):
    fit, layout = planted
    opened = open_campaign(layout.root)
    with pytest.raises(UnknownName, match="is not finished"):
        opened.trace(fit.run_id(9))
    other = p.Planting(stage="other", n_runs=2)
    p.write_plan(layout, other, other.rows())
    p.declare(layout, other)
    p.publish(layout, other)
    with pytest.raises(UnknownName, match="has no traces"):
        opened.trace(other.run_id(0))


def test_reading_changes_nothing_but_the_table(planted):
    fit, layout = planted

    def files():
        return {os.path.join(d, n) for d, _, names in os.walk(layout.root) for n in names}

    before = files()
    opened = open_campaign(layout.root)
    opened.trace(fit.run_id(0))
    opened.status()
    assert files() == before
    opened.table()
    assert {os.path.relpath(f, layout.root).split(os.sep)[0] for f in files() - before} == {"tables"}
