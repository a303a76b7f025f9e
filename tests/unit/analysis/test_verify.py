"""Damage is found, named and mended; a campaign without any gives no findings."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import planting as p
from campaign.analysis.status import status
from campaign.analysis.verify import repair, verify
from campaign.errors import Locked
from campaign.reduce.reducer import reduce
from campaign.store.events import EventLog
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from campaign.store.owner import this_process
from campaign.store.records import dumps
from campaign.store.trace_codec import encode_chunk
from campaign.store.trace_groups import declared_arrays
from campaign.store.traces import chunk_path, ensure_group, write_chunks
from planting import publish_records
from running import here

FIT = p.Planting(n_runs=20, n_programs=2)  # five blocks: 0-2 of the first program, 3-5 of the second
ARRAYS = declared_arrays(p.trace_spec(FIT, 0))


@pytest.fixture
def layout(tmp_path, finished):
    """A finished campaign of one's own to harm."""
    shutil.copytree(finished.root, tmp_path / "campaign")
    return Layout(tmp_path / "campaign")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished campaign with everything that one can have."""
    layout = p.plant(tmp_path_factory.mktemp("finished"), FIT)
    p.declare(layout, FIT, **ARRAYS)
    p.publish_traces(layout, FIT)
    p.publish(layout, FIT, changes={1: p.failed()})
    log = EventLog(layout)
    for block in range(p.n_blocks(FIT)):
        log.append("block_published", stage="fit", part=0, block=block, n_ok=4, n_failed=0, failures=[])
    reduce(layout)
    return layout


def told(findings):
    return [(f.kind, f.place, f.repair) for f in findings]


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_sound_campaign_gives_no_findings(layout):
    assert verify(layout) == []
    shutil.rmtree(layout.events)
    assert verify(layout) == []


def test_an_unfinished_campaign_gives_no_findings(tmp_path):
    layout = p.plant(tmp_path, FIT, begun=False)
    assert verify(layout) == []
    p.declare(layout, FIT, **ARRAYS)
    p.publish_traces(layout, FIT, 0, 4)
    p.publish(layout, FIT, 0)
    assert verify(layout) == []


def test_verify_changes_nothing(layout):
    def state():
        return {
            os.path.join(d, n): os.stat(os.path.join(d, n)).st_mtime_ns
            for d, _, names in os.walk(layout.root)
            for n in names
        }

    before = state()
    verify(layout)
    assert state() == before


def test_leftovers_of_a_dead_process(layout):
    if not this_process().boot:
        pytest.skip("this system does not tell which processes live")
    host = this_process().host
    dead = layout.table.with_name(f".summary.parquet.{host}-{dead_pid()}-0.tmp")
    alive = layout.table.with_name(f".summary.parquet.{host}-{os.getpid()}-0.tmp")
    elsewhere = layout.table.with_name(".summary.parquet.far-1-0.tmp")
    old = layout.table.with_name(".summary.parquet.far-2-0.tmp")
    for file in (dead, alive, elsewhere, old):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 1000,) * 2)
    group = layout.traces / "fit" / f".abc.{host}-{dead_pid()}-3.tmp"
    (group / "loss").mkdir(parents=True)
    (group / "loss" / "zarr.json").write_bytes(b"{}")
    findings = verify(layout)
    places = {f.place for f in findings}
    assert places == {f.relative_to(layout.root).as_posix() for f in (dead, old, group)}
    assert {f.kind for f in findings} == {"leftover"}
    repair(layout, findings)
    assert not dead.exists()
    assert not group.exists()
    assert alive.exists()
    assert elsewhere.exists()
    assert verify(layout) == []


def test_checkpoint_of_a_published_block(layout):
    path = layout.checkpoint("fit", 0, 2)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    findings = verify(layout)
    assert told(findings) == [("leftover", "checkpoints/fit/0000-000002.npz", "remove")]
    repair(layout, findings)
    assert not path.exists()


@pytest.mark.parametrize("name", ["notes.txt", "summaries/fit/0000-000000.jsonl.bak", "plan/fit/x.csv", "core.12"])
def test_foreign_files_are_named_and_left_alone(layout, name):
    (layout.root / name).write_bytes(b"mine")
    findings = verify(layout)
    assert told(findings) == [("foreign", name, "none")]
    done = repair(layout, findings)
    assert done.left == tuple(findings)
    assert (layout.root / name).read_bytes() == b"mine"


def harmed(layout, harm):
    path = layout.summaries("fit", 0, 1)
    records = p.records(FIT, 1)
    if harm == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "not json":
        path.write_bytes(path.read_bytes().replace(b'"loss":5.0', b'"loss":NaN'))
    elif harm == "wrong type":
        publish_records(layout, "fit", 0, 1, [records[0] | {"loss": "low"}, *records[1:]])
    elif harm == "missing run":
        publish_records(layout, "fit", 0, 1, records[1:])
    elif harm == "strange run":
        publish_records(layout, "fit", 0, 1, [*records[:3], records[3] | {"run_id": "f" * 32}])
    elif harm == "twice":
        publish_records(layout, "fit", 0, 1, [*records, records[2]])
    elif harm == "shuffled":
        publish_records(layout, "fit", 0, 1, records[::-1])
    elif harm == "other block":
        publish_records(layout, "fit", 0, 1, [r | {"block": 2} for r in records])
    return path


@pytest.mark.parametrize(
    ("harm", "messages"),
    [
        ("truncated", ["truncated"]),
        ("not json", ["not JSON"]),
        ("wrong type", ['`loss` is "low"']),
        ("missing run", [f"run {FIT.run_id(4)} of this block is missing"]),
        ("strange run", [f"run {FIT.run_id(7)} of this block is missing", f"run {'f' * 32} is not of this block"]),
        ("twice", [f"run {FIT.run_id(6)} appears more than once"]),
        ("shuffled", ["not in the order of the plan"]),
        ("other block", ["the column `block` is not what the plan says"]),
    ],
)
def test_damaged_summaries_are_put_aside_and_count_as_not_done(layout, harm, messages):
    path = harmed(layout, harm)
    data = path.read_bytes()
    findings = verify(layout)
    assert {f.kind for f in findings} == {"summaries"}
    assert {f.place.split(",")[0] for f in findings} == {"summaries/fit/0000-000001.jsonl"}
    assert len(findings) == len(messages)
    for finding, message in zip(findings, messages, strict=True):
        assert message in finding.message
    done = repair(layout, findings)
    assert done.moved == ("summaries/fit/0000-000001.jsonl",)
    assert (layout.root / done.folder / done.moved[0]).read_bytes() == data
    assert verify(layout) == []
    assert status(layout).total("n_pending") == 4
    p.publish(layout, FIT, 1)
    assert verify(layout) == []
    assert status(layout).total("n_pending") == 0


def test_a_block_that_no_plan_has(layout):
    shutil.copy(layout.summaries("fit", 0, 0), layout.summaries("fit", 0, 99))
    shutil.copy(layout.summaries("fit", 0, 0), layout.summaries("fit", 7, 0))
    findings = verify(layout)
    assert [(f.place, f.message) for f in findings] == [
        ("plan/fit/0007.json", "missing, though part 7 of the plan of stage `fit` was submitted"),
        ("plan/fit/0007.parquet", "missing, though part 7 of the plan of stage `fit` was submitted"),
        ("summaries/fit/0000-000099.jsonl", "no plan has this block"),
    ]


def test_a_block_that_the_events_know_and_the_disk_does_not(layout):
    layout.summaries("fit", 0, 3).unlink()
    findings = verify(layout)
    assert told(findings) == [("events", "summaries/fit/0000-000003.jsonl", "none")]
    assert "campaign resume" in findings[0].message


def test_a_missing_trace_chunk(layout):
    group = layout.trace_group("fit", FIT.program_name(1))
    (group / "theta" / "c" / "1" / "0" / "0").unlink()
    findings = verify(layout)
    place = f"traces.zarr/fit/{FIT.program_name(1)}/theta/c/1/0/0"
    assert told(findings) == [("trace", place, "redo")]
    done = repair(layout, findings)
    assert done.moved == ("summaries/fit/0000-000004.jsonl",)  # second block of the second program
    assert verify(layout) == []


def test_a_missing_chunk_of_another_array_is_seen_by_its_neighbours(layout):
    group = layout.trace_group("fit", FIT.program_name(0))
    (group / "jacobian" / "c" / "0" / "0").unlink()
    assert [f.place for f in verify(layout)] == [f"traces.zarr/fit/{FIT.program_name(0)}/jacobian/c/0/0"]
    shutil.rmtree(group / "jacobian" / "c")
    assert verify(layout) == []  # nobody has any: a program whose array is nothing but the fill value


def test_a_chunk_that_one_run_lacks_in_groups_without_checksums(tmp_path):
    """An array of nothing but NaN has no chunk there: a run may lack one, a block whose neighbours have it may not."""
    plain = p.Planting(n_runs=8)
    spec, program = p.trace_spec(plain, 0), plain.program_name(0)
    arrays = [replace(array, has_checksum=False) for array in spec.fields if array.name != "jacobian"]
    once = replace(spec.field("jacobian"), has_checksum=False, run_chunk=1, once=True)
    spec = replace(spec, fields=(*arrays, once))
    layout = p.plant(tmp_path, plain)
    p.declare(layout, plain, **declared_arrays(spec))
    group = ensure_group(layout, "fit", program, spec)
    for row in (0, 4):
        shapes = {"loss": (4, 6), "theta": (4, 6, 1), "jacobian": (4, 3)}
        write_chunks(group, spec, [(name, row, 0, np.ones(shape)) for name, shape in shapes.items()])
    p.publish(layout, plain)
    chunks = group / "jacobian" / "c"
    for row, n_findings in ((4, 0), (7, 0), (5, 0), (6, 1)):
        (chunks / str(row) / "0").unlink()
        assert [f.place for f in verify(layout)] == [f"traces.zarr/fit/{program}/jacobian/c/4/0"] * n_findings


@pytest.mark.parametrize("harm", [b"", b"\x00" * 50, "half"])
def test_a_chunk_that_cannot_be_decoded(layout, harm):
    group = layout.trace_group("fit", FIT.program_name(0))
    path = group / "loss" / "c" / "2" / "1"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if harm == "half" else harm)
    findings = verify(layout)
    assert told(findings) == [("trace", path.relative_to(layout.root).as_posix(), "redo")]
    assert "cannot be decoded" in findings[0].message
    done = repair(layout, findings)
    assert set(done.moved) == {"summaries/fit/0000-000002.jsonl", path.relative_to(layout.root).as_posix()}
    assert verify(layout) == []


def test_a_hole_in_finished_steps(layout):
    spec = p.trace_spec(FIT, 0)
    group = layout.trace_group("fit", FIT.program_name(0))
    values = np.arange(16.0).reshape(4, 4)
    values[2, 1] = values[3, 0] = np.nan
    field = spec.field("loss")
    chunk_path(group, field, 1, 0).write_bytes(encode_chunk(field, values))
    findings = verify(layout)
    assert len(findings) == 1
    message = f"no numbers at finished steps of 2 runs, the first at step 1 of run {FIT.run_id(6)}"
    assert findings[0].message == message


def test_holes_of_failed_runs_and_unreached_steps_are_none(layout):
    spec = p.trace_spec(FIT, 0)
    group = layout.trace_group("fit", FIT.program_name(0))
    values = np.arange(16.0).reshape(4, 4)
    values[1, 2] = np.nan  # run 1 failed
    field = spec.field("loss")
    chunk_path(group, field, 0, 0).write_bytes(encode_chunk(field, values))
    assert verify(layout) == []


def test_traces_that_are_gone_altogether(layout):
    shutil.rmtree(layout.trace_group("fit", FIT.program_name(0)))
    findings = verify(layout)
    group = [f for f in findings if f.kind == "trace group"]
    assert {f.repair for f in group} == {"rebuild"}
    names = {f.place.partition(FIT.program_name(0) + "/")[2] for f in group}
    arrays = {f"{name}/zarr.json" for name in ("loss", "theta", "jacobian", "run_id", "parameter")}
    assert names == {"zarr.json", "run_id/c/0", "parameter/c/0"} | arrays
    assert sorted({path for f in findings for path in f.paths}) == [
        f"summaries/fit/0000-00000{b}.jsonl" for b in range(3)
    ]


def test_a_stage_that_records_no_traces(tmp_path):
    layout = p.plant(tmp_path, FIT)
    p.publish(layout, FIT)
    p.write_plan(layout, FIT, FIT.rows(), trace=False)
    p.declare(layout, FIT, **ARRAYS)
    assert verify(layout) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_runs": 21}, "20 rows; the header says 21"),
        ({"programs": {}}, "is not in the header"),
        ({"schema": "other"}, "is not the header of part 0"),
    ],
)
def test_plans_that_contradict_their_headers(tmp_path, change, message):
    layout = p.plant(tmp_path, FIT)
    p.write_plan(layout, FIT, FIT.rows(), **change)
    findings = verify(layout)
    place = "plan/fit/0000.json" if "schema" in change else "plan/fit/0000.parquet"
    assert {(f.kind, f.place) for f in findings} == {("plan", place)}
    assert message in findings[0].message


def test_plans_with_a_run_twice_or_without_rows(tmp_path):
    layout = p.plant(tmp_path, FIT)
    rows = FIT.rows()
    rows[3] = rows[3] | {"run_id": rows[2]["run_id"]}
    p.write_plan(layout, FIT, rows)
    assert [f.message for f in verify(layout)] == ["1 run ids appear twice"]
    layout.plan_rows("fit", 0).write_bytes(b"PAR1")
    assert "cannot be read" in verify(layout)[0].message
    layout.plan_rows("fit", 0).unlink()
    assert told(verify(layout)) == [("plan", "plan/fit/0000.parquet", "rebuild")]


def test_inputs_that_changed(tmp_path):
    layout = p.plant(tmp_path / "campaign", FIT)
    data = tmp_path / "data.csv"
    data.write_bytes(b"1,2\n")
    digest = hashlib.sha256(b"1,2\n").hexdigest()
    module = layout.inputs / hashlib.sha256(b"code").hexdigest()[:16] / "decay.py"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"code")
    programs = FIT.header(FIT.rows())["programs"]
    for entry in programs.values():
        entry["inputs"] = {"data.csv": {"path": str(data), "sha256": digest}}
        entry["module"] = {"file": module.relative_to(layout.root).as_posix(), "attribute": "Decay"}
    p.write_plan(layout, FIT, FIT.rows(), programs=programs)
    assert verify(layout) == []
    data.write_bytes(b"1,3\n")
    module.write_bytes(b"other code")
    findings = verify(layout)
    assert [(f.kind, f.place) for f in findings] == [
        ("input", str(data)),
        ("input", module.relative_to(layout.root).as_posix()),
    ]
    assert digest[:16] in findings[0].message
    data.unlink()
    assert "cannot be read" in verify(layout)[0].message


def test_a_declaration_that_is_gone(layout):
    layout.program("fit", FIT.program_name(0)).unlink()
    findings = verify(layout)
    assert told(findings) == [("program", f"programs/fit/{FIT.program_name(0)}.json", "redo")]
    assert findings[0].paths == ("summaries/fit/0000-000000.jsonl",)


def test_run_folders(tmp_path):
    layout = p.plant(tmp_path, FIT)
    p.identify(layout, "directories")
    for block in range(p.n_blocks(FIT)):
        records = p.records(FIT, block)
        publish_records(layout, "fit", 0, block, records, [{"run_id": r["run_id"]} for r in records])
    assert verify(layout) == []
    layout.meta(FIT.run_id(2)).write_bytes(b"")
    shutil.rmtree(layout.run_folder(FIT.run_id(5)))
    findings = verify(layout)
    assert [(f.kind, f.place) for f in findings] == [
        ("run folder", f"runs/{FIT.run_id(2)}/meta.json"),
        ("run folder", f"runs/{FIT.run_id(5)}/summary.json"),
        ("run folder", f"runs/{FIT.run_id(5)}/meta.json"),
    ]
    assert {f.repair for f in findings} == {"rebuild"}
    assert {f.paths for f in findings} == {(f"summaries/fit/0000-00000{b}.jsonl",) for b in (0, 1)}


def test_a_table_that_cannot_be_read(layout):
    data = layout.table.read_bytes()
    layout.table.write_bytes(data[:-10])
    findings = verify(layout)
    assert told(findings) == [("table", "tables/summary.parquet", "remove")]
    repair(layout, findings)
    reduce(layout)
    assert pq.read_metadata(layout.table).num_rows == 20
    assert verify(layout) == []


def test_lines_in_journals_that_are_no_events(layout):
    with layout.event_log("far-1-1").open("ab") as file:
        file.write(b"\x00\x00\n" + dumps({"t": 1.0, "event": "ok"}) + b"\n{torn")
    findings = verify(layout)
    assert [(f.kind, f.message) for f in findings] == [("events", "1 line is no event; nothing else rests on it")]


def test_no_repair_under_a_driver(layout):
    harmed(layout, "truncated")
    with acquire(layout), pytest.raises(Locked):
        repair(layout, verify(layout))


def test_a_second_repair_uses_a_second_folder(layout):
    for number in range(2):
        harmed(layout, "truncated")
        assert repair(layout, verify(layout)).folder == f"damaged/{number}"
        p.publish(layout, FIT, 1)


def test_what_a_killed_process_left_behind_is_not_damage(layout):
    """It is listed and removed, but the exit code is 0: every result is there."""
    if not this_process().boot:
        pytest.skip("this system does not tell which processes live")
    dead = layout.table.with_name(f".summary.parquet.{this_process().host}-{dead_pid()}-0.tmp")
    dead.write_bytes(b"half")
    listed = here("verify", layout.root)
    assert (listed.returncode, "1 leftovers, no damage" in listed.stderr) == (0, True)
    assert here("verify", layout.root, "--repair").returncode == 0
    assert here("verify", layout.root).stdout.strip() == "nothing is wrong"
