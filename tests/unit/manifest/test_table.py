"""Tables that people bring: every value as it was written, or a word with its place."""

import csv
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaign.manifest.columns import Column
from campaign.manifest.table import file_columns

IDS = ["5853498713190525696", "5853498713190525697"]  # of 19 digits: one double
LONG = ["58534987131905256960", "58534987131905256961"]  # of 20 digits: beyond 64 bits


def rows(column: Column) -> list:
    return [column.value(i) for i in range(len(column))]


def read(folder, content, name="t.csv", **body):
    """(columns as lists, findings as text)."""
    path = folder / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = []
    columns = file_columns({"path": name, **body}, folder, "/expand/file", found)
    return {path: rows(c) for path, c in (columns or {}).items()}, [str(f) for f in found]


def good(folder, content, name="t.csv", **body):
    columns, found = read(folder, content, name, **body)
    assert found == []
    return columns


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.50"], [1.0, 2.5]),
        (["-1e3", "+.5"], [-1000.0, 0.5]),
        (["007", "042"], ["007", "042"]),
        (["1.1", "1.10"], ["1.1", "1.10"]),
        (IDS, [int(text) for text in IDS]),
        (LONG, LONG),
        ([IDS[0], "0.5"], [IDS[0], "0.5"]),
        (["true", "False"], [True, False]),
        (["NA", "Cl"], ["NA", "Cl"]),
        (["1", "nan", "", "3"], [1, None, None, 3]),
        (["a", "", "b"], ["a", None, "b"]),
        (["", ""], [None, None]),
        (["2024-01-31", "2024-02-01"], ["2024-01-31", "2024-02-01"]),
        ([" a", "b "], [" a", "b "]),
        (["x,y", 'say "no"', "two\nlines"], ["x,y", 'say "no"', "two\nlines"]),
    ],
)
def test_a_tag_keeps_what_is_written(tmp_path, cells, expected):
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["start.a", "tag.x"], *(["1", cell] for cell in cells)])
    found = good(tmp_path, (tmp_path / "t.csv").read_bytes())
    assert found == {"start.a": [1] * len(cells), "tag.x": expected}
    assert [type(v) for v in found["tag.x"]] == [type(v) for v in expected]


@pytest.mark.parametrize(
    ("path", "cells", "message"),
    [
        ("start.a", ["1", "inf"], "row 2 holds inf, which is not a finite number"),
        ("start.a", ["1", "-Infinity"], "row 2 holds -inf"),
        ("start.a", ["1", "1e999"], "row 2 holds inf"),
        ("tag.a", ["1", "inf"], "row 2 holds inf"),
        ("start.a", ["1", ""], "1 of 2 cells are empty, the first in row 2"),
        ("problem.a", ["nan", "NaN"], "2 of 2 cells are empty, the first in row 1"),
        ("scale.a", ["1", "one"], 'row 2 holds "one", which is not a number'),
        ("start.a", ["0.5", IDS[1]], f"row 2 holds {IDS[1]}, beyond 2^53"),
        ("problem.a", ["1", LONG[0]], f"row 2 holds {LONG[0]}, beyond 2^53"),
        ("problem.a", ["1", IDS[0]], f"row 2 holds {IDS[0]}, beyond 2^53"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_row(tmp_path, path, cells, message):
    columns, found = read(tmp_path, "\n".join([f"{path},tag.b", *(f"{cell},x" for cell in cells)]))
    assert columns == {}
    assert len(found) == 1
    assert message in found[0]
    assert found[0].startswith(f"/expand/file/path: column `{path}` of the file `t.csv`: ")


def test_an_empty_cell_may_mean_the_default(tmp_path):
    text = "start.a,problem.k\n1,\n,2\n"
    assert read(tmp_path, text)[0] == {}
    assert good(tmp_path, text, missing="default") == {"start.a": [1, None], "problem.k": [None, 2]}


def test_zeros_before_a_number_are_no_matter_where_only_numbers_go(tmp_path):
    assert good(tmp_path, "start.a,problem.k\n007,007\n") == {"start.a": [7], "problem.k": ["007"]}


def test_two_columns_of_one_name(tmp_path):
    _, found = read(tmp_path, "start.a,start.a\n1,2\n")
    assert "2 columns have the name `start.a`" in found[0]
    _, found = read(tmp_path, '[{"start.a": 1, "start.a": 2}]', "t.json")
    assert "2 columns have the name `start.a`" in found[0]


def test_text_that_is_not_utf_8(tmp_path):
    raw = "start.a,tag.n\n1,a\n2,Müller\n".encode("latin-1")
    _, found = read(tmp_path, raw)
    assert "line 3 is not UTF-8 (byte 22 of the file: 0xfc)" in found[0]
    assert '"encoding": "latin-1"' in found[0]
    assert good(tmp_path, raw, encoding="latin-1")["tag.n"] == ["a", "Müller"]
    assert good(tmp_path, "start.a\n1\n".encode("utf-16"), encoding="utf-16") == {"start.a": [1]}
    assert good(tmp_path, "start.a\n1\n".encode("utf-8-sig")) == {"start.a": [1]}


def parquet(**columns):
    return pa.table({name.replace("_", "."): values for name, values in columns.items()})


def test_types_of_parquet(tmp_path):
    content = parquet(
        start_f=pa.array([0.5, 1.5], pa.float32()),
        start_h=pa.array(np.array([0.5, 1.5], np.float16)),
        problem_u=pa.array([1, 2], pa.uint64()),
        tag_u=pa.array([2**64 - 1, None], pa.uint64()),
        tag_i=pa.array([int(IDS[0]), None]),
        tag_d=pa.array([decimal.Decimal("1.10"), decimal.Decimal("2.20")]),
        tag_c=pa.array(["007", None]).dictionary_encode(),
        tag_b=pa.array([b"text", b"more"]),
        tag_l=pa.array(["", "x"], pa.large_string()),
        tag_n=pa.nulls(2),
        tag_j=pa.array([[1, 2], None]),
        tag_t=pa.array([True, None]),
    )
    assert good(tmp_path, content, "t.parquet") == {
        "start.f": [0.5, 1.5],
        "start.h": [0.5, 1.5],
        "problem.u": [1, 2],
        "tag.u": [str(2**64 - 1), None],
        "tag.i": [int(IDS[0]), None],
        "tag.d": [1.1, 2.2],
        "tag.c": ["007", None],
        "tag.b": ["text", "more"],
        "tag.l": ["", "x"],
        "tag.n": [None, None],
        "tag.j": [[1, 2], None],
        "tag.t": [True, None],
    }


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"tag_b": pa.array([b"\xff\xfe"])}, "values of the type binary are neither text nor numbers"),
        ({"problem_u": pa.array([2**64 - 1], pa.uint64())}, "row 1 holds 18446744073709551615, beyond 2^53"),
        ({"start_a": pa.array([1.0, float("-inf")])}, "row 2 holds -inf"),
        ({"start_a": pa.array([1.0, float("nan"), None])}, "2 of 3 cells are empty, the first in row 2"),
    ],
)
def test_what_parquet_holds_and_a_point_does_not(tmp_path, column, message):
    columns, found = read(tmp_path, parquet(**column), "t.parquet")
    assert columns == {}
    assert message in found[0]


def test_json_lines(tmp_path):
    lines = [{"start.a": 1, "tag.x": 1}, {"start.a": 0.5, "tag.x": None}, {"start.a": 2, "tag.y": "z"}]
    text = "\n\n".join(json.dumps(line) for line in lines)
    assert good(tmp_path, text, "t.jsonl") == {
        "start.a": [1, 0.5, 2],
        "tag.x": [1, None, None],
        "tag.y": [None, None, "z"],
    }
    assert good(tmp_path, f'{{"start.a": 1, "tag.x": {LONG[0]}}}', "t.jsonl")["tag.x"] == [LONG[0]]
    for bad, message in (
        ('{"start.a": 1}\n{"start.a": 1', "line 2: not JSON at column"),
        ('{"start.a": 1}\n{"start.b": 1}', "1 of 2 cells are empty, the first in row 2"),
        ('{"start.a": Infinity}', "row 1 holds inf"),
        ('{"start.a": 1e999}', "row 1 holds inf"),
        (f'{{"start.a": {IDS[0]}}}', f"row 1 holds {IDS[0]}, beyond 2^53"),
        ('{"tag.a": "\\ud800"}', "cannot be read: line 1: "),
        ("[1]", "it is not a list of objects"),
    ):
        _, found = read(tmp_path, bad, "t.jsonl")
        assert message in found[0], found
