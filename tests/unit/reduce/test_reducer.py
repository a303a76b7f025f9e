"""The table: one row a planned run, typed by declaration, the same bytes for the same results."""

import datetime
import os
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import planting as p
from campaign.errors import UnknownName
from campaign.reduce import parts
from campaign.reduce.reducer import is_current, reduce
from campaign.reduce.schema import comparable
from campaign.store.layout import Layout
from campaign.store.records import dumps, publish_json
from planting import publish_records


def table_of(layout):
    return pq.read_table(layout.table)


def rows_of(layout):
    return table_of(layout).to_pylist()


def test_columns_in_their_order(tmp_path):
    fit = p.Planting()
    layout = p.plant(tmp_path, fit)
    reduce(layout)
    identity = ["run_id", "stage", "label", "problem", "engine", "seed", "replicate"]
    result = ["status", "outcome", "message", "loss_initial", "loss", "n_steps", "n_evaluations"]
    work = ["runtime_s", "compile_s", "started_at", "host", "device", "rows_held"]
    work += ["program", "part", "block", "row", "attempt"]
    axes = ["start.k", "problem.model"]
    fields = ["theta.k", "theta.alpha", "stderr.k", "derived.tau", "metric.chi2"]
    lists = ["bounds_reached", "unidentified", "nonfinite", "extra"]
    assert table_of(layout).column_names == identity + result + work + axes + fields + lists


def test_a_campaign_that_has_not_begun(tmp_path):
    layout = p.plant(tmp_path, p.Planting(n_runs=5), begun=False)
    report = reduce(layout)
    assert (report.n_rows, report.n_done, report.damaged) == (5, 0, ())
    table = table_of(layout)
    assert table.column("status").null_count == 5
    assert table.column("start.k").to_pylist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert set(table.column("problem").to_pylist()) == {"decay"}
    assert set(table.column("seed").to_pylist()) == {7}


def test_numbers_come_through(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={3: p.failed(), 4: {"bounds_reached": ["k:lower"]}})
    report = reduce(layout)
    assert (report.n_rows, report.n_done, report.damaged) == (10, 10, ())
    rows = rows_of(layout)
    assert [r["run_id"] for r in rows] == [fit.run_id(i) for i in range(10)]
    good = [i for i in range(10) if i != 3]
    assert [rows[i]["loss"] for i in good] == [float(i) for i in good]
    assert [rows[i]["theta.k"] for i in good] == [i / 2 for i in good]
    assert [rows[i]["theta.alpha"] for i in good] == [-i for i in good]
    assert [rows[i]["derived.tau"] for i in good] == [2 * i for i in good]
    assert [rows[i]["metric.chi2"] for i in good] == [10 * i for i in good]
    assert rows[3]["status"] == "failed"
    assert rows[3]["loss"] is None
    assert rows[3]["nonfinite"] == ["loss"]
    assert rows[4]["bounds_reached"] == ["k:lower"]
    assert rows[0]["started_at"] == datetime.datetime(2026, 11, 20, 12, 34, 56, 789012, datetime.UTC)
    assert [r["label"] for r in rows[:3]] == [None, "run 1", None]
    assert [(r["block"], r["row"]) for r in rows[3:5]] == [(0, 3), (1, 4)]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("window", [3, 7, 65536])
def test_plan_order_whatever_the_blocks(tmp_path, monkeypatch, interleaved, window):
    monkeypatch.setattr("campaign.reduce.assembling.WINDOW", window)
    monkeypatch.setattr("campaign.reduce.reading.ROWS_HELD", 5)
    fit = p.Planting(n_runs=37, n_programs=3, interleaved=interleaved)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    layout.summaries("fit", 0, 2).unlink()
    missing = {r["run_id"] for r in fit.rows() if r["block"] == 2}
    assert missing
    assert reduce(layout).n_done == 37 - len(missing)
    for i, row in enumerate(rows_of(layout)):
        assert row["run_id"] == fit.run_id(i)
        assert row["problem.model"] == f"model {fit.program_of(i)}"
        assert row["theta.k"] == (None if row["run_id"] in missing else i / 2)
        assert row["status"] == (None if row["run_id"] in missing else "ok")


def test_stages_in_the_manifests_order(tmp_path):
    one, two = p.Planting(stage="zeta", n_runs=3), p.Planting(stage="alpha", n_runs=2)
    layout = p.plant(tmp_path, one, two)
    p.publish(layout, two)
    reduce(layout)
    assert [r["stage"] for r in rows_of(layout)] == ["zeta"] * 3 + ["alpha"] * 2
    assert [r["status"] for r in rows_of(layout)] == [None] * 3 + ["ok"] * 2
    assert reduce(layout, stages=["alpha"]).n_rows == 2
    with pytest.raises(UnknownName, match="did you mean `alpha`"):
        reduce(layout, stages=["alfa"])


def test_units_and_descriptions_are_in_the_file(tmp_path):
    fit = p.Planting()
    layout = p.plant(tmp_path, fit)
    reduce(layout)
    schema = pq.read_schema(layout.table)
    assert schema.field("theta.k").metadata == {b"unit": b"1/s", b"description": b"rate"}
    assert schema.field("stderr.k").metadata[b"unit"] == b"1/s"
    assert schema.field("runtime_s").metadata[b"unit"] == b"s"
    metadata = pq.ParquetFile(layout.table).metadata.metadata
    assert metadata[b"campaign.schema"] == b"campaign.table/1"
    assert metadata[b"campaign.manifest_sha256"] == b"ab" * 32
    assert b'"derived.tau":"s"' in metadata[b"campaign.units"]


def test_reducing_again_reads_no_summaries(tmp_path, monkeypatch):
    fit = p.Planting(n_runs=12)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, 0, 1)
    reduce(layout)
    read = []
    from campaign.reduce import reading

    real = reading.parse_block
    monkeypatch.setattr(reading, "parse_block", lambda *a: read.append(a[-1]) or real(*a))
    before = layout.table.read_bytes()
    reduce(layout)
    assert read == []
    assert layout.table.read_bytes() == before
    p.publish(layout, fit, 2)
    assert reduce(layout).n_done == 12
    assert read == ["summaries/fit/0000-000002.jsonl"]


@pytest.mark.parametrize("harm", ["empty", "torn", "flipped", "swapped", "foreign", "folder"])
def test_a_spoilt_cache_is_made_again(tmp_path, harm):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    reduce(layout)
    good = layout.table.read_bytes()
    part = layout.table_part("fit", 0, 0)
    data = part.read_bytes()
    head, _, body = data.partition(b"\n")
    if harm == "swapped":  # a whole stream, of other numbers
        with pa.ipc.open_stream(body) as stream:
            batch = stream.read_next_batch()
        parts.keep(part, {}, batch.take(pa.array([3, 2, 1, 0])))
        part.write_bytes(head + b"\n" + part.read_bytes().partition(b"\n")[2])
    elif harm == "folder":
        part.unlink()
        part.mkdir()
    else:
        part.write_bytes(
            {
                "empty": b"",
                "torn": data[: len(data) // 2],
                "flipped": data[:-40] + bytes([data[-40] ^ 255]) + data[-39:],
                "foreign": b"PAR1 something\n else",
            }[harm]
        )
    reduce(layout)
    assert layout.table.read_bytes() == good
    assert harm == "folder" or part.read_bytes() == data


def test_a_block_that_was_redone_is_read_anew(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    reduce(layout)
    p.publish(layout, fit, changes={1: {"loss": 42.0}})
    reduce(layout)
    assert rows_of(layout)[1]["loss"] == 42.0


def test_a_new_declaration_makes_old_parts_void(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={2: {"metric": {"chi2": 1.0, "aic": 5.0}}})
    reduce(layout)
    assert rows_of(layout)[2]["extra"] == '{"metric":{"aic":5.0}}'
    p.declare(layout, fit, metrics=["chi2", "aic"])
    reduce(layout)
    assert [r["metric.aic"] for r in rows_of(layout)] == [None, None, 5.0, None]
    assert rows_of(layout)[2]["extra"] is None


def test_unknown_fields_go_to_extra(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={1: {"note": {"a": [1, "x"]}, "theta": {"k": 0.5, "alpha": 0.0, "beta": 2.0}}})
    assert reduce(layout).damaged == ()
    rows = rows_of(layout)
    assert rows[1]["extra"] == '{"theta":{"beta":2.0},"note":{"a":[1,"x"]}}'
    assert rows[1]["theta.k"] == 0.5
    assert [r["extra"] for r in (rows[0], rows[2], rows[3])] == [None] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "low"}, '`loss` is "low", not a number'),
        ({"loss": True}, "`loss` is true, not a number"),
        ({"n_steps": 1.5}, "`n_steps` is 1.5, not an integer"),
        ({"theta": {"k": [1], "alpha": 0.0}}, r"`theta.k` is \[1\], not a number"),
        ({"theta": 3}, "`theta` is 3, not an object"),
        ({"started_at": "noon"}, '`started_at` is "noon", not an ISO-8601 time'),
        ({"bounds_reached": "k"}, '`bounds_reached` is "k", not a list of names'),
        ({"host": 5}, "`host` is 5, not text"),
        ({"status": "done"}, '`status` is "done"; valid: ok, failed'),
        ({"schema": "campaign.summary/9"}, "`schema` is"),
        ({"run_id": None}, "`run_id` is missing"),
    ],
)
def test_a_wrong_value_names_run_and_field_and_spares_the_others(tmp_path, change, message):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={2: change})
    report = reduce(layout)
    assert len(report.damaged) == 1
    found = report.damaged[0]
    assert found.place == "summaries/fit/0000-000000.jsonl, line 3"
    assert found.run_id == ("" if "run_id" in change else fit.run_id(2))
    import re

    assert re.search(message, found.message)
    assert [r["status"] for r in rows_of(layout)] == ["ok", "ok", None, "ok"]
    assert reduce(layout).damaged == report.damaged  # not hidden by the cache


@pytest.mark.parametrize("harm", ["truncated", "not json", "empty", "zeros", "binary", "blank line"])
def test_a_malformed_file_is_reported_and_skipped(tmp_path, harm):
    fit = p.Planting(n_runs=8)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    path = layout.summaries("fit", 0, 0)
    data = path.read_bytes()
    path.write_bytes(
        {
            "truncated": data[:-30],
            "not json": data[:100] + b"\n" + data[101:],
            "empty": b"",
            "zeros": b"\x00" * len(data),
            "binary": b"\xff\xfe" * 50 + b"\n",
            "blank line": b"\n" + data,
        }[harm]
    )
    report = reduce(layout)
    assert report.n_done == 4
    assert [d.place.split(",")[0] for d in report.damaged] == ["summaries/fit/0000-000000.jsonl"]
    assert [r["status"] for r in rows_of(layout)] == [None] * 4 + ["ok"] * 4


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_words_that_are_no_json_are_named(tmp_path, word):
    """Arrow's reader takes them for numbers."""
    fit = p.Planting(n_runs=8)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    path = layout.summaries("fit", 0, 0)
    loss = p.record(fit, fit.rows()[1], 1)["loss"]
    path.write_bytes(path.read_bytes().replace(b'"loss":%b,' % dumps(loss), b'"loss":%b,' % word, 1))
    report = reduce(layout)
    assert report.n_done == 4
    assert "not JSON" in report.damaged[0].message
    assert report.damaged[0].place.startswith("summaries/fit/0000-000000.jsonl, line")


def test_integers_where_numbers_are_meant(tmp_path):
    fit = p.Planting(n_runs=2)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={1: {"loss": 3, "n_steps": 4.0}})
    assert reduce(layout).damaged == ()
    assert rows_of(layout)[1]["loss"] == 3.0
    assert rows_of(layout)[1]["n_steps"] == 4


def test_the_highest_attempt_in_a_file_counts(tmp_path):
    fit = p.Planting(n_runs=2)
    layout = p.plant(tmp_path, fit)
    lines = p.records(fit, 0)
    publish_records(layout, "fit", 0, 0, [lines[0] | {"attempt": 1, "loss": 50.0}, *lines])
    reduce(layout)
    assert [r["loss"] for r in rows_of(layout)] == [50.0, 1.0]


def retried(layout, fit, failed_runs):
    """A second plan in which the failed runs have new rows in a new block."""
    new = p.Planting(n_runs=fit.n_runs, part=1)
    rows = fit.rows()
    for row, i in enumerate(failed_runs):
        rows[i] = rows[i] | {"program": new.program_name(0), "part": 1, "block": 0, "row": row, "attempt": 1}
    p.write_plan(layout, new, rows, n_kept=fit.n_runs - len(failed_runs), n_new=len(failed_runs))
    p.declare(layout, new)
    return [p.record(new, rows[i], i, loss=1000.0 + i) for i in failed_runs]


def test_a_retry_shows_the_old_result_until_the_new_one_is_published(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, changes={2: p.failed(), 7: p.failed()})
    new = retried(layout, fit, [2, 7])
    assert reduce(layout).n_done == 10
    rows = rows_of(layout)
    assert [(rows[i]["status"], rows[i]["attempt"], rows[i]["part"], rows[i]["row"]) for i in (2, 7)] == [
        ("failed", 0, 0, 2),
        ("failed", 0, 0, 7),
    ]
    publish_records(layout, "fit", 1, 0, new)
    reduce(layout)
    rows = rows_of(layout)
    assert [(rows[i]["status"], rows[i]["attempt"], rows[i]["loss"]) for i in (2, 7)] == [
        ("ok", 1, 1002.0),
        ("ok", 1, 1007.0),
    ]
    assert [r["loss"] for i, r in enumerate(rows) if i not in (2, 7)] == [0, 1, 3, 4, 5, 6, 8, 9]


def test_a_removed_run_leaves_the_table(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    p.write_plan(layout, p.Planting(n_runs=10, part=1), fit.rows()[::2], programs={}, n_removed=5)
    assert reduce(layout).n_done == 5
    assert [r["loss"] for r in rows_of(layout)] == [0, 2, 4, 6, 8]
    assert {r["problem"] for r in rows_of(layout)} == {"decay"}


def test_a_run_missing_from_its_block_stays_open(tmp_path):
    fit = p.Planting(n_runs=4)
    layout = p.plant(tmp_path, fit)
    publish_records(layout, "fit", 0, 0, p.records(fit, 0)[1:])
    assert reduce(layout).n_done == 3
    assert [r["status"] for r in rows_of(layout)] == [None, "ok", "ok", "ok"]


def test_axes_that_differ_in_type_between_stages(tmp_path):
    one = p.Planting(stage="a", n_runs=2, axes={"start.k": {"type": "float"}, "tag.x": {"type": "int"}})
    two = p.Planting(stage="b", n_runs=2, axes={"start.k": {"type": "int"}, "tag.x": {"type": "string"}})
    layout = Layout(tmp_path)
    publish_json(layout.manifest, {"stages": [{"name": "a"}, {"name": "b"}]})
    p.write_plan(layout, one, [r | {"start.k": 0.5, "tag.x": 3} for r in one.rows()])
    p.write_plan(layout, two, [r | {"start.k": 2, "tag.x": "hot"} for r in two.rows()])
    reduce(layout)
    table = table_of(layout)
    assert table.schema.field("start.k").type == pa.float64()
    assert table.column("start.k").to_pylist() == [0.5, 0.5, 2.0, 2.0]
    assert table.column("tag.x").to_pylist() == ["3", "3", "hot", "hot"]


def test_programs_of_different_units_and_fields(tmp_path):
    one, two = p.Planting(stage="a", n_runs=2), p.Planting(stage="b", n_runs=2)
    layout = p.plant(tmp_path, one, two)
    other = [{"name": "k", "unit": "K"}, {"name": "z", "unit": ""}]
    p.declare(layout, two, parameters=other, derived={}, metrics=[])
    p.publish(layout, one)
    nothing = {"derived": {}, "metric": {}, "stderr": {"k": 1.0, "z": 2.0}}
    p.publish(layout, two, changes={i: {"theta": {"k": 1.0, "z": 9.0}} | nothing for i in range(2)})
    assert reduce(layout).damaged == ()
    table = table_of(layout)
    assert table.schema.field("theta.k").metadata[b"unit"] == b"1/s | K"
    assert table.column("theta.z").to_pylist() == [None, None, 9.0, 9.0]
    assert table.column("theta.alpha").to_pylist() == [0.0, -1.0, None, None]
    assert table.column("stderr.z").to_pylist() == [None, None, 2.0, 2.0]


def test_summaries_without_a_declaration_are_kept_as_extra(tmp_path):
    fit = p.Planting(n_runs=2)
    layout = p.plant(tmp_path, fit, begun=False)
    p.publish(layout, fit)
    assert reduce(layout).n_done == 2
    row = rows_of(layout)[1]
    assert row["loss"] == 1.0
    assert '"theta":{"k":0.5,"alpha":-1.0}' in row["extra"]


def test_same_results_same_bytes_wherever_they_ran(tmp_path):
    fit = p.Planting(n_runs=10)
    here, there = p.plant(tmp_path / "here", fit), p.plant(tmp_path / "there", fit)
    elsewhere = {"host": "node9", "runtime_s": 7.0, "started_at": "2027-01-01T00:00:00Z", "device": "gpu"}
    p.publish(here, fit)
    reduce(here)
    for block in (2, 0, 1):
        p.publish(there, fit, block, changes=dict.fromkeys(range(10), elsewhere))
        reduce(there)
    assert not table_of(here).equals(table_of(there))
    assert comparable(table_of(here)).equals(comparable(table_of(there)), check_metadata=True)


def test_nothing_temporary_is_left(tmp_path):
    fit = p.Planting()
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    reduce(layout)
    names = [name for _, _, names in os.walk(tmp_path) for name in names]
    assert not [name for name in names if name.endswith(".tmp")]


def test_the_table_is_not_touched_when_the_reduction_fails(tmp_path, monkeypatch):
    fit = p.Planting()
    layout = p.plant(tmp_path, fit)
    reduce(layout)
    before = layout.table.read_bytes()
    p.publish(layout, fit)

    def broken(*arguments):
        raise MemoryError

    monkeypatch.setattr("campaign.reduce.assembling._gathered", broken)
    with pytest.raises(MemoryError):
        reduce(layout)
    assert layout.table.read_bytes() == before
    assert [q.name for q in layout.tables.iterdir() if q.is_file()] == ["summary.parquet"]


def test_a_lot_of_text_in_one_record(tmp_path):
    fit = p.Planting(n_runs=2)
    layout = p.plant(tmp_path, fit)
    text = 'Ω\n"quoted" \\ ' * 100_000
    p.publish(layout, fit, changes={0: {"message": text}})
    assert reduce(layout).damaged == ()
    assert rows_of(layout)[0]["message"] == text
    assert dumps(text).decode()[1:5] == "Ω\\n\\"


def test_a_block_published_while_the_table_is_made_is_not_forgotten(tmp_path, monkeypatch):
    fit = p.Planting(n_runs=8)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, 0)
    assert not is_current(layout)
    from campaign.reduce import reading

    real = reading.published

    def published_then_one_more(*arguments):
        found = real(*arguments)
        p.publish(layout, fit, 1)
        return found

    monkeypatch.setattr(reading, "published", published_then_one_more)
    assert reduce(layout).n_done == 4
    assert not is_current(layout)
    monkeypatch.undo()
    time.sleep(0.02)  # more than one tick of the file system's clock
    assert reduce(layout).n_done == 8
    assert is_current(layout)


def test_a_block_published_in_the_instant_of_the_reading_makes_the_table_old(tmp_path):
    """Time stamps are coarse: equal ones may mean either order, so equal is old."""
    fit = p.Planting(n_runs=5)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit)
    reduce(layout)
    made = layout.table.stat().st_mtime_ns
    for folder in (layout.plan_folder(fit.stage), layout.summaries_folder(fit.stage)):
        os.utime(folder, ns=(made - 1, made - 1))
    assert is_current(layout)
    os.utime(layout.summaries_folder(fit.stage), ns=(made, made))
    assert not is_current(layout)
