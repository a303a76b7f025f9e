"""Expansion of random trees against a few lines of plain Python."""

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.manifest.context import Context
from campaign.manifest.expand import parse_node
from campaign.manifest.load import from_document
from campaign.manifest.points import expand

values = st.lists(st.one_of(st.integers(-5, 5), st.sampled_from(["x", "y", True, None, 2.5])), min_size=1, max_size=3)
names = st.sampled_from(["start.a", "start.b", "tag.c", "problem.d"])


def leaves(paths):
    grid = st.dictionaries(paths, values, min_size=1, max_size=2).map(lambda axes: {"grid": axes})
    rows = st.lists(st.dictionaries(paths, st.integers(0, 3), max_size=2), min_size=1, max_size=3)
    return st.one_of(grid, rows.map(lambda points: {"list": points}))


def branches(children):
    several = st.lists(children, min_size=1, max_size=3)
    return st.one_of(several.map(lambda c: {"product": c}), several.map(lambda c: {"union": c}))


trees = st.recursive(leaves(names), branches, max_leaves=6)


def reference(tree):
    """Points of a tree, or None where two factors set one axis."""
    ((name, body),) = tree.items()
    if name == "grid":
        return [dict(zip(body, row)) for row in itertools.product(*body.values())]
    if name == "list":
        return body
    children = [reference(child) for child in body]
    if None in children:
        return None
    if name == "union":
        return [point for child in children for point in child]
    axes = [{path for point in child for path in point} for child in children]
    if any(a & b for a, b in itertools.combinations(axes, 2)):
        return None
    return [{k: v for part in row for k, v in part.items()} for row in itertools.product(*children)]


def same(a, b):
    return a.keys() == b.keys() and all(a[k] == b[k] and isinstance(a[k], bool) == isinstance(b[k], bool) for k in a)


def made(tree):
    found = []
    node = parse_node(tree, "", Context(Path(), 0, found))
    if node is None:
        return None
    assert found == []
    return node


@given(trees)
def test_points_and_their_order(tree):
    node, expected = made(tree), reference(tree)
    assert (node is None) == (expected is None)
    if node is None:
        return
    assert node.n == len(expected)
    columns = node.take(np.arange(node.n))
    for i, point in enumerate(expected):
        row = {path: c.value(i) for path, c in columns.items() if c.where_present()[i]}
        assert same(row, {path: value for path, value in point.items() if path != "tag.c" or value is not None})


@given(trees, st.data())
def test_any_points_can_be_asked_for(tree, data):
    node = made(tree)
    if node is None:
        return
    index = np.array(data.draw(st.lists(st.integers(0, node.n - 1), min_size=1, max_size=5)))
    whole, some = node.take(np.arange(node.n)), node.take(index)
    for path, column in whole.items():
        for i, at in enumerate(index):
            present = path in some and some[path].where_present()[i]
            assert present == column.where_present()[at]
            if present:
                assert some[path].value(i) == column.value(at)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["sobol", "halton", "random"]))
def test_a_larger_design_begins_with_the_smaller(n, more, design):
    def columns(size):
        body = {"design": design, "n": size, "space": {"start.a": {"gamma": [2, 1]}, "start.b": [1, 2, 3]}}
        return made({"sample": body}).take(np.arange(size))

    few, many = columns(n), columns(n + more)
    assert all(np.array_equal(few[path].data, many[path].data[:n]) for path in few)


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True))
def test_counts_of_a_stage(n_zip, replicates, excluded):
    document = {
        "schema": "campaign/1",
        "name": "t",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": {"product": [{"zip": {"start.a": list(range(n_zip))}}, {"grid": {"tag.k": list(range(6))}}]},
        "exclude": [{"tag.k": k} for k in excluded],
        "replicates": replicates,
    }
    (stage,) = from_document(document).manifest.stages
    assert expand(stage).n == n_zip * (6 - len(excluded)) * replicates
