"""Status: exact counts from plan, listing and journals, whatever the journals lost."""

import time

import pytest

import planting as p
from campaign.analysis.status import Watcher, status
from campaign.cli.status import render
from campaign.store.events import EventLog
from campaign.store.failures import failed_records, failure_signatures
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from campaign.store.records import dumps, publish_json
from planting import publish_records


def write_event(layout, writer, t, event, **fields):
    layout.events.mkdir(exist_ok=True)
    with layout.event_log(writer).open("ab") as file:
        file.write(dumps({"t": t, "event": event, **fields}) + b"\n")


def publish(layout, planting, block, *, changes=None, t=None, writer="far-1-1", **fields):
    """A block as a worker leaves it: summaries and event."""
    records = p.records(planting, block, changes)
    publish_records(layout, planting.stage, planting.part, block, records)
    n_failed = sum(r["status"] == "failed" for r in records)
    place = {"stage": planting.stage, "part": planting.part, "block": block}
    counts = {"n_ok": len(records) - n_failed, "n_failed": n_failed, "failures": failure_signatures(records)}
    also = {"seconds": 1.0, "compile_s": 0.5, "n_compiles": 1} | fields
    write_event(layout, writer, time.time() if t is None else t, "block_published", **place, **counts, **also)


def counts(stage):
    return stage.n_runs, stage.n_ok, stage.n_failed, stage.n_pending


def test_nothing_planned(tmp_path):
    found = status(Layout(tmp_path))
    assert found.state == "not planned"
    assert found.stages == ()
    assert found.rate is None


def test_planned_and_not_begun(tmp_path):
    layout = p.plant(tmp_path, p.Planting(n_runs=10), begun=False)
    found = status(layout)
    assert counts(found.stages[0]) == (10, 0, 0, 10)
    assert (found.stages[0].n_blocks, found.stages[0].n_blocks_done) == (3, 0)
    assert found.state == "stopped"
    assert "campaign resume" in found.hints


def test_how_far_a_long_pass_over_rows_is(tmp_path):
    layout = p.plant(tmp_path, p.Planting(n_runs=10))
    acquire(layout)
    now = time.time()
    place = {"stage": "fit", "part": 0, "block": 1}
    write_event(layout, "far-1-1", now - 60.0, "block_started", **place)
    for ago, n_done in ((40.0, 120), (20.0, 160)):
        write_event(layout, "far-1-1", now - ago, "block_pass", **place, kind="ARROW", n_done=n_done, n=352, run="00")
    watcher = Watcher(layout)
    (said,) = watcher.status().passes
    assert said.startswith("block 1 of stage `fit`: 160 of 352 row blocks of a pass (ARROW), 2")
    assert said in render(watcher.status(), "results")
    write_event(layout, "far-1-1", now - 5.0, "block_started", **place)  # again: that pass is of an earlier execution
    assert watcher.status().passes == ()


def test_counts_and_failures(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    overflow = {"message": "overflow at step 17", "outcome": "error"}
    changes = {1: p.failed(), 5: p.failed(), 6: p.failed(**overflow)}
    for block in (0, 1):
        publish(layout, fit, block, changes=changes)
    found = status(layout)
    assert counts(found.stages[0]) == (10, 5, 3, 2)
    assert found.total("n_done") == 8
    first, second = found.failures
    assert (first.n, first.signature, first.run_id) == (2, "nonfinite: the loss is not finite", fit.run_id(1))
    assert (second.n, second.signature) == (1, "error: overflow at step ##")
    assert second.message == "overflow at step 17"
    assert found.n_compiles == 2
    assert found.compile_s == 1.0
    assert f"campaign show {fit.run_id(1)[:8]}" in found.hints
    assert found.to_json()["stages"][0]["n_done"] == 8
    assert b"campaign.status/1" in dumps(found.to_json())


def test_complete(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    publish(layout, fit, 0)
    found = status(layout)
    assert found.state == "complete"
    assert found.eta_s is None


@pytest.mark.parametrize("harm", ["gone", "cut", "nonsense"])
def test_without_journals_the_counts_are_the_same(tmp_path, harm):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    changes = {1: p.failed(), 5: p.failed()}
    for block in (0, 1):
        publish(layout, fit, block, changes=changes)
    before = status(layout)
    log = layout.event_log("far-1-1")
    if harm == "gone":
        log.unlink()
    elif harm == "cut":
        log.write_bytes(log.read_bytes()[:-5])
    else:
        log.write_bytes(log.read_bytes().replace(b'"n_ok"', b'"n_oh"'))
    after = status(layout)
    assert after.stages == before.stages
    assert [(f.signature, f.n) for f in after.failures] == [(f.signature, f.n) for f in before.failures]


def test_a_retried_run_is_pending_and_no_longer_a_failure(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    for block in range(3):
        publish(layout, fit, block, changes={1: p.failed(), 2: p.failed(), 5: p.failed()})
    new = p.Planting(n_runs=10, part=1)
    rows = fit.rows()
    for row, i in enumerate((1, 5)):
        rows[i] = rows[i] | {"program": new.program_name(0), "part": 1, "block": 0, "row": row, "attempt": 1}
    p.write_plan(layout, new, rows)
    found = status(layout)
    assert counts(found.stages[0]) == (10, 7, 1, 2)
    assert [(f.n, f.run_id) for f in found.failures] == [(1, fit.run_id(2))]
    publish_records(layout, "fit", 1, 0, [p.record(new, rows[i], i) for i in (1, 5)])
    assert counts(status(layout).stages[0]) == (10, 9, 1, 0)


def test_removed_runs_do_not_count(tmp_path):
    fit = p.Planting(n_runs=8)
    layout = p.plant(tmp_path, fit)
    for block in (0, 1):
        publish(layout, fit, block, changes={0: p.failed(), 1: p.failed()})
    p.write_plan(layout, p.Planting(n_runs=8, part=1), fit.rows()[1:], programs={}, n_removed=1)
    found = status(layout)
    assert counts(found.stages[0]) == (7, 6, 1, 0)
    assert found.stages[0].n_removed == 1


def test_a_text_that_looks_like_a_failure_is_none(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={0: {"message": '"status":"failed"'}, 2: p.failed()})
    assert [r["run_id"] for r in failed_records(layout, "fit", 0, 0)] == [fit.run_id(2)]


def test_rate_and_time_left(tmp_path):
    fit = p.Planting(n_runs=40, block_size=4)
    layout = p.plant(tmp_path, fit)
    now = time.time()
    publish(layout, fit, 0, t=now - 4000)  # too long ago to count
    for k in range(1, 5):
        publish(layout, fit, k, t=now - 100 + 20 * k, seconds=20.0)
    write_event(layout, "far-1-1", now - 5, "block_started", stage="fit", part=0, block=5)
    found = status(layout)
    assert found.state == "running"
    assert found.rate == pytest.approx(16 / 100, rel=0.05)  # four blocks of four runs in 100 s
    assert found.eta_s == pytest.approx(20 / found.rate)
    assert found.stages[0].n_blocks_running == 1
    assert found.workers[0].is_alive
    assert found.workers[0].n_runs == 20


def test_blocks_of_dead_workers_and_stopped_drivers_do_not_run(tmp_path):
    fit = p.Planting(n_runs=12)
    layout = p.plant(tmp_path, fit)
    place = {"stage": "fit", "part": 0}
    now = time.time()
    write_event(layout, "far-1-1", now - 9, "block_started", **place, block=0)
    write_event(layout, "driver-1-1", now - 8, "driver_stopped", reason="done")
    assert status(layout).stages[0].n_blocks_running == 0
    write_event(layout, "far-1-1", now - 7, "block_started", **place, block=1)
    write_event(layout, "far-1-1", now - 6, "block_started", **place, block=2)
    assert status(layout).stages[0].n_blocks_running == 2
    write_event(layout, "driver-1-1", now - 5, "block_lost", **place, block=1, reason="node down")
    write_event(layout, "far-1-1", now - 4, "block_interrupted", **place, block=2)
    found = status(layout)
    assert found.stages[0].n_blocks_running == 0
    assert found.n_blocks_lost == 1


def test_a_stopped_campaign_says_why_and_a_killed_driver_has_no_word(tmp_path):
    layout = p.plant(tmp_path, p.Planting(n_runs=4))
    assert (status(layout).state, status(layout).ended) == ("stopped", None)  # planned, never driven
    now = time.time()
    write_event(layout, "driver-1-1", now - 9, "driver_started", executor="dask-slurm")
    assert "killed" in status(layout).ended
    reason = "Unavailable: sbatch: Invalid partition\n  | log"
    write_event(layout, "driver-1-1", now - 8, "driver_stopped", reason=reason)
    assert status(layout).ended == reason
    assert f"ended     {reason.splitlines()[0]}\n            | log" in render(status(layout), "c")
    write_event(layout, "driver-2-1", now - 7, "driver_started", executor="inline")
    assert "killed" in status(layout).ended


def test_the_next_driver_may_wait_in_the_queue(tmp_path):
    layout = p.plant(tmp_path, p.Planting(n_runs=4))
    publish_json(layout.driver_job, {"job": "17"})
    found = status(layout)
    assert (found.state, found.ended) == ("queued", None)
    assert "squeue -j 17" in found.hints[0]
    layout.logs.mkdir()
    layout.log("driver-17").touch()  # it has begun
    assert status(layout).state == "stopped"


def test_a_writer_of_this_host_that_is_gone(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    from campaign.store.owner import this_process

    if not this_process().boot:
        pytest.skip("this system does not tell which processes live")
    mine = this_process().writer
    gone = mine.rsplit("-", 2)[0] + "-4194305-1"  # above the largest pid that Linux gives
    write_event(layout, gone, time.time(), "block_started", stage="fit", part=0, block=0)
    found = status(layout)
    assert found.stages[0].n_blocks_running == 0
    assert not found.workers[0].is_alive
    EventLog(layout).append("block_started", stage="fit", part=0, block=0)
    assert status(layout).stages[0].n_blocks_running == 1


def test_work_done_twice_is_counted(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    publish(layout, fit, 0, writer="far-1-1")
    publish(layout, fit, 0, writer="far-2-1")
    found = status(layout)
    assert found.n_blocks_twice == 1
    assert counts(found.stages[0]) == (4, 4, 0, 0)


def test_driver(tmp_path):
    layout = p.plant(tmp_path, p.Planting())
    with acquire(layout):
        EventLog(layout).append("driver_started", executor="dask", workers=2)
        found = status(layout)
        assert found.state == "waiting"
        assert found.driver is not None
        assert not found.driver.is_stale
        assert found.executor == "dask"
    assert status(layout).driver is None


def test_watching_reads_what_is_new(tmp_path, monkeypatch):
    fit = p.Planting(n_runs=12)
    layout = p.plant(tmp_path, fit)
    watcher = Watcher(layout)
    assert watcher.status().total("n_done") == 0
    publish(layout, fit, 0)
    assert watcher.status().total("n_done") == 4
    monkeypatch.setattr("pyarrow.parquet.read_table", None)  # the plan is not read again
    publish(layout, fit, 2, changes={9: p.failed()})
    assert counts(watcher.status().stages[0]) == (12, 7, 1, 4)


def test_a_new_plan_is_noticed_while_watching(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    watcher = Watcher(layout)
    assert watcher.status().total("n_runs") == 4
    more = p.Planting(n_runs=6, part=1)
    p.write_plan(layout, more, more.rows())
    assert watcher.status().total("n_runs") == 6
