"""Random tables as CSV, JSON lines and Parquet: every value arrives as it was written, or a finding names its place.

`FUZZ_TABLES` sets how many; a hundred by default.
"""

import csv
import io
import json
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from campaign.errors import ManifestError
from campaign.manifest.cells import MISSING, is_label
from campaign.manifest.points import expand
from campaign.schedule.check import open_document
from campaign.schedule.planning import plan_stage

N_TABLES = int(os.environ.get("FUZZ_TABLES", "100"))
PATHS = ("start.rate", "problem.sigma", "problem.data_seed", "tag.x", "tag.y", "label")

plain = st.integers(0, 2**20).map(lambda i: i + 1)
odd_numbers = st.one_of(
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**20, 0, -1, 10**400]),
    st.floats(),
    st.integers(),
)
words = [
    *("NA", "nan", "inf", "-Infinity", "007", "1.10", "1.1", "1e5", "1e999", "+3", ".5", "5.", "0x10", "true", "False"),
    *("None", "1_000", "1,5", "Müller", "2024-01-01", "٣", "", " ", "a\nb", 'say "x"', "1 2", "\x00"),
]
odd_texts = st.one_of(st.sampled_from(words), st.text(max_size=4))
cells = st.one_of(plain.map(str), plain.map(lambda i: repr(i / 64)), odd_numbers.map(str), odd_texts)
others = st.one_of(st.none(), st.booleans(), st.lists(st.integers(0, 3), max_size=2))
values = st.one_of(plain, plain.map(lambda i: i / 64), odd_numbers, odd_texts, others)


def columns_of(entries):
    """Columns of 1 to 4 rows; most hold whole numbers only, so that other columns are looked at."""
    whole = plain if entries is values else plain.map(str)

    def table(n):
        column = st.one_of(*(st.lists(kind, min_size=n, max_size=n) for kind in (entries, whole, whole)))
        return st.dictionaries(st.sampled_from(PATHS), column, min_size=1)

    return st.integers(1, 4).flatmap(table)


def brought(folder, name, **body):
    """(columns of the points, findings)."""
    document = {
        "schema": "campaign/1",
        "name": "t",
        "problem": {"name": "decay", "n": 10},
        "engine": {"name": "trf"},
        "expand": {"file": {"path": name, **body}},
    }
    manifest, findings = opened(document, folder)
    event("read" if manifest else "refused")
    if manifest is None:
        assert findings
        assert all(d.message and d.place.startswith("/") for d in findings)
        return None
    part = plan_stage(manifest, "main", folder)
    assert part.header["n_runs"] > 0
    return expand(manifest.stages[0]).columns


def opened(document, folder):
    """(manifest, ()) or (None, findings)."""
    try:
        return open_document(document, folder=folder), ()
    except ManifestError as error:
        return None, error.diagnostics


def is_same_text(text, value, path):
    """Whether a CSV cell says what became of it."""
    if value is None:
        return text == "" or (path != "label" and (text.strip() == "" or text.strip().casefold() in MISSING))
    if isinstance(value, str):
        return value == text
    if isinstance(value, bool):
        return text.strip().lower() == str(value).lower()
    return int(text) == value if isinstance(value, int) else float(text) == value


def is_same_value(given_, value, path):
    if value is None:
        return given_ is None or given_ != given_
    if isinstance(value, str) and isinstance(given_, int):
        return is_label(path) and str(given_) == value
    return isinstance(value, bool) == isinstance(given_, bool) and value == given_


def check(found, table, is_same):
    for path, given_ in table.items():
        column = found[path]
        arrived = [column.value(i) for i in range(len(column))]
        assert len(arrived) == len(given_)
        assert all(is_same(a, b, path) for a, b in zip(given_, arrived, strict=True)), (path, given_, arrived)
        kept = {a: b for a, b in zip(map(repr, given_), map(repr, arrived), strict=True) if b != "None"}
        assert not is_label(path) or not all(isinstance(a, str) for a in given_) or len(set(kept.values())) == len(kept)


many = settings(max_examples=N_TABLES, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@many
@given(columns_of(cells))
def test_csv(table):
    text = io.StringIO(newline="")
    table = {path: [str(cell) for cell in column] for path, column in table.items()}
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([list(table), *zip(*table.values(), strict=True)])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_bytes(text.getvalue().encode("utf-8", "replace"))
        found = brought(folder, "t.csv", missing="default")
    if found is not None:
        check(found, table, is_same_text)


@many
@given(columns_of(values))
def test_json_lines(table):
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
        found = brought(folder, "t.jsonl", missing="default")
    if found is not None:
        check(found, table, is_same_value)


TYPES = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.one_of(plain, st.integers(-(2**63), 2**63 - 1)),
    pa.uint64(): st.one_of(plain, st.integers(0, 2**64 - 1)),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.one_of(plain.map(lambda i: i / 64), st.floats()),
    pa.string(): odd_texts.filter(lambda text: text.isprintable()),
    pa.bool_(): st.booleans(),
    pa.binary(): st.binary(max_size=3),
    pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2),
    pa.null(): st.none(),
    pa.duration("s"): st.timedeltas(),
}


@st.composite
def parquet_tables(draw):
    n = draw(st.integers(1, 4))
    table = {}
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True)):
        kind = draw(st.sampled_from(list(TYPES)))
        column = draw(st.lists(st.one_of(TYPES[kind], TYPES[kind], st.none()), min_size=n, max_size=n))
        table[path] = pa.array(column, kind)
    return pa.table(table)


@many
@given(parquet_tables())
def test_parquet(table):
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table, Path(folder) / "t.parquet")
        found = brought(folder, "t.parquet", missing="default")
    if found is not None:
        written = {path: table.column(path).to_pylist() for path in table.column_names}
        check(found, written, lambda a, b, path: is_same_value(a.decode() if isinstance(a, bytes) else a, b, path))


def test_the_reference_itself():
    assert is_same_text("007", "007", "tag.x")
    assert not is_same_text("007", "7", "tag.x")
    assert not is_same_text("inf", None, "start.rate")
    assert is_same_value(math.nan, None, "start.rate")
    assert not is_same_value(2**53 + 1, float(2**53), "tag.x")
    assert not is_same_value(np.inf, None, "start.rate")
