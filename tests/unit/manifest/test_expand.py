"""Every operator, by points that can be counted by hand."""

import numpy as np
import pytest

from campaign.manifest.context import Context
from campaign.manifest.expand import OPERATORS, parse_node
from campaign.manifest.operators import EXAMPLES, example


def points(tree, folder="."):
    node, found = parse(tree, folder)
    assert found == []
    columns = node.take(np.arange(node.n))
    return [
        {path: column.value(i) for path, column in columns.items() if column.where_present()[i]} for i in range(node.n)
    ]


def parse(tree, folder="."):
    from pathlib import Path

    found = []
    return parse_node(tree, "/expand", Context(Path(folder), 7, found)), found


def messages(tree):
    _, found = parse(tree)
    return [str(finding) for finding in found]


def test_grid_varies_the_last_axis_fastest():
    assert points({"grid": {"start.a": [1, 2], "tag.b": ["x", "y"]}}) == [
        {"start.a": 1, "tag.b": "x"},
        {"start.a": 1, "tag.b": "y"},
        {"start.a": 2, "tag.b": "x"},
        {"start.a": 2, "tag.b": "y"},
    ]


def test_zip_goes_side_by_side():
    assert points({"zip": {"start.a": [1, 2], "tag.b": ["x", "y"]}}) == [
        {"start.a": 1, "tag.b": "x"},
        {"start.a": 2, "tag.b": "y"},
    ]


def test_list_rows_may_set_different_axes():
    rows = [{"start.a": 1.5}, {"start.b": 2, "problem.mask": [1, None]}, {"problem.mask": None}]
    assert points({"list": rows}) == rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"linspace": [0, 1, 5]}, [0, 0.25, 0.5, 0.75, 1]),
        ({"linspace": [3, 9, 1]}, [3]),
        ({"range": [0, 5, 2]}, [0, 2, 4]),
        ({"range": [0, 0.3, 0.1]}, [0, 0.1, 0.2]),
        ({"range": [0, 1, 0.1]}, [i / 10 for i in range(10)]),
        ({"range": [3, 0, -1]}, [3, 2, 1]),
    ],
)
def test_range_forms(values, expected):
    assert [p["start.a"] for p in points({"grid": {"start.a": values}})] == expected


def test_logspace_is_geometric_between_its_end_values():
    values = [p["start.a"] for p in points({"grid": {"start.a": {"logspace": [1, 100, 3]}}})]
    np.testing.assert_allclose(values, [1, 10, 100], rtol=1e-15)


def test_whole_ranges_stay_whole_numbers():
    assert all(isinstance(p["start.a"], int) for p in points({"grid": {"start.a": {"range": [0, 3, 1]}}}))


def test_product_and_union_nest():
    tree = {
        "product": [{"union": [{"grid": {"start.a": [1]}}, {"grid": {"start.b": [2]}}]}, {"grid": {"tag.c": [0, 1]}}]
    }
    assert points(tree) == [
        {"start.a": 1, "tag.c": 0},
        {"start.a": 1, "tag.c": 1},
        {"start.b": 2, "tag.c": 0},
        {"start.b": 2, "tag.c": 1},
    ]


def test_switch_sets_its_key():
    tree = {"switch": {"key": "problem.model", "cases": {"one": {}, "two": {"grid": {"start.k": [1, 2]}}}}}
    assert points(tree) == [
        {"problem.model": "one"},
        {"problem.model": "two", "start.k": 1},
        {"problem.model": "two", "start.k": 2},
    ]


def test_switch_in_a_product_follows_the_key_of_an_earlier_child():
    switch = {"switch": {"key": "problem.n", "cases": {"2": {"grid": {"start.k": [7, 8]}}, "1": {}}}}
    tree = {"product": [{"grid": {"problem.n": [1, 2]}}, switch, {"grid": {"tag.c": ["x", "y"]}}]}
    assert points(tree) == [
        {"problem.n": 1, "tag.c": "x"},
        {"problem.n": 1, "tag.c": "y"},
        {"problem.n": 2, "start.k": 7, "tag.c": "x"},
        {"problem.n": 2, "start.k": 7, "tag.c": "y"},
        {"problem.n": 2, "start.k": 8, "tag.c": "x"},
        {"problem.n": 2, "start.k": 8, "tag.c": "y"},
    ]


@pytest.mark.parametrize("format_", ["csv", "json", "jsonl", "parquet"])
def test_file_rows(tmp_path, format_):
    import pandas as pd

    frame = pd.DataFrame({"start.a": [1.5, 2.5], "tag.n": [1, 2], "tag.s": ["x", None]})
    path = tmp_path / f"rows.{format_}"
    match format_:
        case "csv":
            frame.to_csv(path, index=False)
        case "parquet":
            frame.to_parquet(path)
        case _:
            frame.to_json(path, orient="records", lines=format_ == "jsonl")
    found = points({"file": {"path": path.name}}, tmp_path)
    assert [p["start.a"] for p in found] == [1.5, 2.5]
    assert [p["tag.n"] for p in found] == [1, 2]
    mapped = points({"file": {"path": path.name, "columns": {"start.q": "start.a"}}}, tmp_path)
    assert mapped == [{"start.q": 1.5}, {"start.q": 2.5}]


def test_an_empty_number_in_a_file_is_refused_unless_it_means_the_default(tmp_path):
    (tmp_path / "rows.csv").write_text("start.a,start.b\n1,\n2,3\n")
    _, found = parse({"file": {"path": "rows.csv"}}, tmp_path)
    assert [str(f) for f in found] == [
        "/expand/file/path: column `start.b` of the file `rows.csv`: 1 of 2 cells are empty, the first in row 1; "
        'fill them, or write "missing": "default" where an empty cell means the stage\'s own value'
    ]
    told = {"file": {"path": "rows.csv", "missing": "default"}}
    assert points(told, tmp_path) == [{"start.a": 1}, {"start.a": 2, "start.b": 3}]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"gird": {}}, "/expand/gird: unknown operator `gird`; did you mean `grid`?"),
        ({"grid": {}, "zip": {}}, "/expand: a node holds exactly one operator"),
        ({"grid": {"start.a": []}}, "/expand/grid/start.a: an axis without values"),
        ({"grid": {"strat.a": [1]}}, "/expand/grid/strat.a: unknown axis `strat.a`; did you mean `start`?"),
        ({"grid": {"start.": [1]}}, "/expand/grid/start.: the axis `start.` names nothing"),
        ({"grid": {"start.a": {"linspace": [0, 1]}}}, "takes three numbers [first, last, n], not [0, 1]"),
        ({"grid": {"start.a": {"logspace": [0, 1, 3]}}}, "both positive, not 0 and 1"),
        ({"grid": {"start.a": {"range": [0, 1, 0]}}}, "a step that is not 0"),
        ({"grid": {"start.a": {"range": [1, 0, 1]}}}, "has 0 values"),
        ({"zip": {"start.a": [1], "start.b": [1, 2]}}, 'different lengths: {"start.a": 1, "start.b": 2}'),
        ({"product": [{"grid": {"start.a": [1]}}, {"zip": {"start.a": [2]}}]}, "is set twice in one product"),
        ({"sample": {"design": "sobo", "n": 4, "space": {"start.a": [1]}}}, "did you mean `sobol`?"),
        ({"sample": {"design": "lhs", "n": True, "space": {"start.a": [1]}}}, "true is not a number of points"),
        ({"sample": {"design": "lhs", "n": 4, "space": {"start.a": {"uniform": [1, 0]}}}}, "needs low < high"),
        ({"sample": {"design": "lhs", "n": 4, "space": {"start.a": {"unifrom": [0, 1]}}}}, "did you mean `uniform`?"),
        ({"file": {"path": "/etc/hosts"}}, "is an absolute path"),
        ({"file": {"path": "../x.csv"}}, "leaves its folder with `..`"),
        ({"file": {"path": "http://a/x.csv"}}, "is a URL"),
        ({"switch": {"key": "problem.n", "cases": {"a": {"grid": {"problem.n": [1]}}}}}, "is set twice"),
        (
            {"product": [{"grid": {"problem.n": [1, 2]}}, {"switch": {"key": "problem.n", "cases": {"1": {}}}}]},
            "no case for problem.n = 2; add the case `2`",
        ),
        ({"grid": {f"start.{c}": {"range": [0, 1000, 1]} for c in "abc"}}, "1,000,000,000 points; the most is"),
    ],
)
def test_findings_name_place_and_cure(tree, expected):
    assert expected in "\n".join(messages(tree))


def test_all_findings_come_at_once():
    tree = {"product": [{"gird": {}}, {"grid": {"start.a": []}}, {"zip": {"x": [1]}}]}
    assert len(messages(tree)) == 3


def test_every_operator_has_an_example_that_parses(tmp_path):
    assert set(EXAMPLES) == set(OPERATORS)
    (tmp_path / "points.csv").write_text("H0,name\n70,a\n")
    for name in OPERATORS:
        assert points(example(name), tmp_path)


def test_a_million_points_make_no_python_objects():
    grid = {"grid": {"problem.model": ["a", "b"], "start.a": {"linspace": [0, 1, 500_000]}}}
    node, _ = parse(grid)
    columns = node.take(np.arange(node.n))
    assert node.n == 1_000_000
    assert {column.data.dtype for column in columns.values()} == {np.dtype("int32"), np.dtype("float64")}
