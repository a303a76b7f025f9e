"""Choosing runs: exactly the ones meant, errors that say what is near."""

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest

import planting as p
from campaign.analysis.select import find, read_record, select
from campaign.errors import UnknownName, UsageError
from campaign.reduce.reducer import reduce
from campaign.store.events import EventLog
from planting import publish_records


@dataclass
class Below:
    """loss < limit, as a parsed expression would do it."""

    limit: float
    names: tuple[str, ...] = ("loss",)

    def mask(self, columns):
        with np.errstate(invalid="ignore"):
            return columns[self.names[0]] < self.limit


@pytest.fixture
def planted(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, 0, 1, changes={2: p.failed(), 5: p.failed()})
    reduce(layout)
    return fit, layout, pq.read_table(layout.table)


def ids(table):
    return table.column("run_id").to_pylist()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("all", range(10)),
        ("ok", [0, 1, 3, 4, 6, 7]),
        ("failed", [2, 5]),
        ("done", range(8)),
        ("pending", [8, 9]),
    ],
)
def test_by_state(planted, state, expected):
    fit, _, table = planted
    assert ids(select(table, state=state)) == [fit.run_id(i) for i in expected]


def test_unknown_state(planted):
    with pytest.raises(UnknownName, match="did you mean `failed`"):
        select(planted[2], state="faild")


def test_by_condition_leaves_out_runs_without_a_value(planted):
    fit, _, table = planted
    assert ids(select(table, where=Below(6.5))) == [fit.run_id(i) for i in (0, 1, 3, 4, 6)]
    with pytest.raises(UnknownName, match="unknown column `los`; did you mean `loss`"):
        select(table, where=Below(1, names=("los",)))


def test_all_arguments_together(planted):
    fit, _, table = planted
    chosen = [fit.run_id(i)[:10] for i in (1, 2, 7)]
    assert ids(select(table, ids=chosen)) == [fit.run_id(i) for i in (1, 2, 7)]
    assert ids(select(table, ids=chosen, state="ok", where=Below(6.5))) == [fit.run_id(1)]


def test_find_by_prefix(planted):
    fit, layout, _ = planted
    run = find(layout, fit.run_id(6)[:8])
    assert (run.stage, run.run_id, run.block, run.row, run.is_done) == ("fit", fit.run_id(6), 1, 6, True)
    assert read_record(layout, run)["loss"] == 6.0
    waiting = find(layout, fit.run_id(9))
    assert not waiting.is_done
    assert read_record(layout, waiting) is None


def test_find_nothing_or_too_much(planted):
    _, layout, _ = planted
    with pytest.raises(UnknownName, match=r"no run begins with `zz`.*campaign ls"):
        find(layout, "zz")
    with pytest.raises(UsageError, match="the beginning of 10 runs"):
        find(layout, "")
    with pytest.raises(UnknownName, match="did you mean `fit`"):
        find(layout, "0", stage="fits")


def test_last(planted):
    fit, layout, _ = planted
    with pytest.raises(UnknownName, match="no run has been published yet"):
        find(layout, "last")
    log = EventLog(layout)
    for block in (1, 0):
        log.append("block_published", stage="fit", part=0, block=block, n_ok=4, n_failed=0, failures=[])
    assert find(layout, "last").run_id == fit.run_id(3)


def test_a_retried_run_is_found_where_its_newest_result_is(planted):
    fit, layout, _ = planted
    new = p.Planting(n_runs=10, part=1)
    rows = fit.rows()
    rows[2] = rows[2] | {"program": new.program_name(0), "part": 1, "block": 0, "row": 0, "attempt": 1}
    p.write_plan(layout, new, rows)
    before = find(layout, fit.run_id(2))
    assert (before.part, before.row, before.attempt, before.is_done) == (0, 2, 0, True)
    assert read_record(layout, before)["status"] == "failed"
    publish_records(layout, "fit", 1, 0, [p.record(new, rows[2], 2)])
    after = find(layout, fit.run_id(2))
    assert (after.part, after.row, after.attempt, after.program) == (1, 0, 1, new.program_name(0))
    assert read_record(layout, after)["status"] == "ok"
