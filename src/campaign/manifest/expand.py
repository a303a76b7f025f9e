"""The `expand` tree of a manifest → nodes. One operator a node; every finding goes to one list, with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from campaign.errors import nearest
from campaign.identity import canonical
from campaign.manifest.cells import is_label
from campaign.manifest.columns import Columns, column_of, constant
from campaign.manifest.context import MAX_RUNS, Context, check_path, clash, is_mapping
from campaign.manifest.diagnose import kind_of, pointer, shown
from campaign.manifest.nodes import ONE_POINT, Chain, Leaf, Node, Product, Union, gather
from campaign.manifest.ranges import axis_values
from campaign.manifest.reading import is_encoding
from campaign.manifest.sample import MAX_POINTS, sample_columns
from campaign.manifest.table import DEFAULT, KEYS, REFUSE, file_columns
from campaign.space.designs import DESIGNS


def parse_node(document: Any, place: str, context: Context) -> Node | None:
    """One node of the tree, or None after a finding."""
    if not isinstance(document, dict) or len(document) != 1:
        keys = f" with {len(document)} keys" if isinstance(document, dict) else ""
        context.report(
            place,
            f"a node holds exactly one operator, not {kind_of(document)}{keys}",
            f"valid: {', '.join(sorted(OPERATORS))}; combine several with `product` or `union`",
        )
        return None
    ((name, body),) = document.items()
    operator = OPERATORS.get(name)
    if operator is None:
        context.report(pointer(place, name), f"unknown operator `{name}`", nearest(name, OPERATORS))
        return None
    node = operator(body, pointer(place, name), context)
    if node is not None and node.n > MAX_RUNS:
        context.report(place, f"{node.n:,} points; the most is {MAX_RUNS:,}", "split the campaign, or sample instead")
        return None
    return node


def _grid(body: Any, place: str, context: Context) -> Node | None:
    """Every value of every axis with every other; the last axis varies fastest."""
    if not is_mapping(body, place, context, "`grid` takes an object: axis → values"):
        return None
    leaves: list[Node] = []
    for path, values in body.items():
        where = pointer(place, path)
        column = axis_values(values, path, where, context.found) if check_path(path, where, context) else None
        if column is not None:
            leaves.append(Leaf({path: column}, len(column), {path: where}))
    return Product(tuple(leaves)) if len(leaves) == len(body) else None


def _zip(body: Any, place: str, context: Context) -> Node | None:
    """Axes of equal length, side by side."""
    if not is_mapping(body, place, context, "`zip` takes an object: axis → values"):
        return None
    columns: Columns = {}
    axes: dict[str, str] = {}
    for path, values in body.items():
        axes[path] = pointer(place, path)
        if check_path(path, axes[path], context):
            column = axis_values(values, path, axes[path], context.found)
            columns |= {} if column is None else {path: column}
    if len(columns) < len(body):
        return None
    lengths = {path: len(column) for path, column in columns.items()}
    if len(set(lengths.values())) > 1:
        context.report(place, f"the axes of a zip have different lengths: {shown(lengths)}", "make them equal")
        return None
    return Leaf(columns, next(iter(lengths.values())), axes)


def point_list(body: Any, place: str, context: Context) -> Leaf | None:
    """Points that are written out, each an object axis → value."""
    if not isinstance(body, list) or not body or not all(isinstance(row, dict) for row in body):
        context.report(place, f"takes a list of points [{{axis: value, …}}, …], not {shown(body)}")
        return None
    before = len(context.found)
    axes: dict[str, str] = {}
    parts = []
    for i, row in enumerate(body):
        for path in row:
            if path not in axes and check_path(path, pointer(place, i, path), context):
                axes[path] = pointer(place, i, path)
        filled = {path: value for path, value in row.items() if value is not None or not is_label(path)}
        parts.append((np.array([i]), {path: column_of([value]) for path, value in filled.items()}))
    if len(context.found) > before:
        return None
    columns = gather(len(body), parts)
    return Leaf(columns, len(body), {path: where for path, where in axes.items() if path in columns})


def _sample(body: Any, place: str, context: Context) -> Node | None:
    """A design over priors and choices."""
    if not is_mapping(body, place, context, '`sample` takes {"design": …, "n": …, "space": {…}}'):
        return None
    before = len(context.found)
    valid = ("design", "n", "space", "seed", "scramble")
    for key in set(body) - set(valid):
        context.report(pointer(place, key), f"unknown key `{key}`", nearest(key, valid))
    design, n, space = body.get("design"), body.get("n"), body.get("space")
    if design not in DESIGNS:
        hint = nearest(design, DESIGNS) if isinstance(design, str) else f"valid: {', '.join(DESIGNS)}"
        context.report(pointer(place, "design"), f"unknown design {shown(design)}", hint)
    if not _is_whole(n) or not 1 <= n <= MAX_POINTS:
        context.report(pointer(place, "n"), f"{shown(n)} is not a number of points", f"valid: 1 to {MAX_POINTS:,}")
    if "seed" in body and not (_is_whole(body["seed"]) and body["seed"] >= 0):
        context.report(pointer(place, "seed"), f"{shown(body['seed'])} is not a seed", "valid: whole numbers from 0")
    if not isinstance(body.get("scramble", True), bool):
        context.report(pointer(place, "scramble"), f"{shown(body['scramble'])} is not true or false")
    axes = {}
    if is_mapping(space, pointer(place, "space"), context, "`space` takes an object: axis → distribution or choices"):
        axes = {path: pointer(place, "space", path) for path in space}
        for path, where in axes.items():
            check_path(path, where, context)
    if len(context.found) > before:
        return None
    columns = sample_columns(body, place, context.seed, context.found)
    return None if columns is None else Leaf(columns, n, axes)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _file(body: Any, place: str, context: Context) -> Node | None:
    """Rows of a CSV, Parquet or JSON file."""
    if not is_mapping(body, place, context, '`file` takes {"path": …, "columns": {axis: column}}'):
        return None
    before = len(context.found)
    for key in set(body) - set(KEYS):
        context.report(pointer(place, key), f"unknown key `{key}`", nearest(key, KEYS))
    if body.get("missing", REFUSE) not in (REFUSE, DEFAULT):
        hint = f'valid: "{REFUSE}", "{DEFAULT}"'
        context.report(pointer(place, "missing"), f"{shown(body['missing'])} is not valid here", hint)
    if "encoding" in body and not is_encoding(body["encoding"]):
        hint = 'for example "latin-1", "cp1252", "utf-16"'
        context.report(pointer(place, "encoding"), f"{shown(body['encoding'])} is not a text encoding", hint)
    mapping = body.get("columns")
    if not isinstance(body.get("path"), str):
        context.report(pointer(place, "path"), f"{shown(body.get('path'))} is not the name of a file")
    if mapping is not None and not (
        isinstance(mapping, dict) and mapping and all(isinstance(v, str) for v in mapping.values())
    ):
        context.report(pointer(place, "columns"), f"`columns` takes axis → column of the file, not {shown(mapping)}")
    if len(context.found) > before:
        return None
    columns = file_columns(body, context.folder, place, context.found)
    if columns is None:
        return None
    axes = {path: pointer(place, "columns", path) if mapping else pointer(place, "path") for path in columns}
    for path, where in axes.items():
        check_path(path, where, context)
    if len(context.found) > before:
        return None
    return Leaf(columns, len(next(iter(columns.values()))), axes)


def _children(body: Any, place: str, context: Context) -> list[Any] | None:
    if isinstance(body, list) and body:
        return body
    context.report(place, f"takes a list of nodes, not {shown(body)}")
    return None


def _union(body: Any, place: str, context: Context) -> Node | None:
    """The points of one child after those of the other."""
    documents = _children(body, place, context)
    nodes = [parse_node(d, pointer(place, i), context) for i, d in enumerate(documents or ())]
    good = [node for node in nodes if node is not None]
    return Union(tuple(good)) if nodes and len(good) == len(nodes) else None


def _product(body: Any, place: str, context: Context) -> Node | None:
    """Every point of a child with every point of the others."""
    documents = _children(body, place, context)
    if documents is None:
        return None
    factors: list[Node] = []
    failed = False
    for i, document in enumerate(documents):
        where = pointer(place, i)
        set_so_far = {path: at for factor in factors for path, at in factor.axes.items()}
        switch = document.get("switch") if isinstance(document, dict) and len(document) == 1 else None
        key = switch.get("key") if isinstance(switch, dict) else None
        if isinstance(key, str) and key in set_so_far:
            prefix = factors[0] if len(factors) == 1 else Product(tuple(factors))
            node = _chain(prefix, switch, pointer(where, "switch"), context)
            if node is not None:
                factors = [node]
        else:
            node = parse_node(document, where, context)
            if node is not None and clash(set_so_far, node.axes, context):
                node = None
            if node is not None:
                factors.append(node)
        failed = failed or node is None
    return None if failed or not factors else Product(tuple(factors))


def _cases(body: Any, place: str, context: Context) -> tuple[str, dict[str, Node]] | None:
    """Key and case nodes of a switch."""
    if not is_mapping(body, place, context, '`switch` takes {"key": axis, "cases": {value: node, …}}'):
        return None
    before = len(context.found)
    for name in set(body) - {"key", "cases"}:
        context.report(pointer(place, name), f"unknown key `{name}`", nearest(name, ("key", "cases")))
    key, cases = body.get("key"), body.get("cases")
    if not isinstance(key, str):
        context.report(pointer(place, "key"), f"{shown(key)} is not an axis")
    else:
        check_path(key, pointer(place, "key"), context)
    nodes: dict[str, Node] = {}
    if is_mapping(cases, pointer(place, "cases"), context, "`cases` takes an object: value → node"):
        for value, document in cases.items():
            where = pointer(place, "cases", value)
            node = ONE_POINT if document == {} else parse_node(document, where, context)
            if node is not None and not clash({str(key): pointer(place, "key")}, node.axes, context):
                nodes[value] = node
    return None if len(context.found) > before else (key, nodes)


def _switch(body: Any, place: str, context: Context) -> Node | None:
    """For each value of a key, its own node; sets the key too."""
    parsed = _cases(body, place, context)
    if parsed is None:
        return None
    key, nodes = parsed
    where = pointer(place, "key")
    return Union(tuple(Product((Leaf({key: constant(v, 1)}, 1, {key: where}), node)) for v, node in nodes.items()))


def _chain(prefix: Node, body: Any, place: str, context: Context) -> Node | None:
    """A switch on a key that an earlier factor sets."""
    parsed = _cases(body, place, context)
    if parsed is None:
        return None
    key, nodes = parsed
    clashes = [clash(prefix.axes, node.axes, context) for node in nodes.values()]
    if any(clashes) or prefix.n > MAX_RUNS:
        return None
    column = prefix.take(np.arange(prefix.n))[key]
    if not column.where_present().all():
        context.report(pointer(place, "key"), f"some points do not set `{key}`", "set it in every child of the union")
        return None
    distinct, inverse = np.unique(column.data, return_inverse=True)
    names = list(nodes)
    chosen = []
    for code in distinct.tolist():
        value = column.values[code] if column.is_coded else code
        text = value if isinstance(value, str) else canonical(value).decode()
        if text in nodes:
            chosen.append(names.index(text))
        else:
            context.report(pointer(place, "cases"), f"no case for {key} = {shown(value)}", f"add the case `{text}`")
    if len(chosen) < len(distinct):
        return None
    choice = np.array(chosen, dtype=np.int64)[inverse]
    return Chain(prefix, tuple(nodes.values()), choice)


OPERATORS: dict[str, Callable[[Any, str, Context], Node | None]] = {
    "grid": _grid,
    "zip": _zip,
    "list": point_list,
    "sample": _sample,
    "file": _file,
    "product": _product,
    "union": _union,
    "switch": _switch,
}
