"""Regenerate the generated pages: docs/manifest.md, docs/commands.md, manifests/schema/. ``--check`` only compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydantic import BaseModel

from campaign.cli.main import COMMANDS, group
from campaign.manifest.expand import OPERATORS
from campaign.manifest.load import from_document
from campaign.manifest.model import Execution, ManifestDocument, StageDocument
from campaign.manifest.points import expand
from campaign.manifest.schema import manifest_schema, schema_text
from campaign.registry import ENGINES, PROBLEMS, load, names
from campaign.schedule.stage_points import base_values

ROOT = Path(__file__).resolve().parents[1]
MADE = "<!-- made by docs/generate.py -->\n"

EXAMPLES: dict[str, tuple[str, Any]] = {  # operator: (what it does, one node)
    "grid": (
        "Every value of every axis with every other. The last axis varies fastest. Values are a list, "
        "`linspace` or `logspace` [first, last, n], or `range` [start, stop, step] without its stop. `linspace` and "
        "`range` are decimal: [0.1, 0.6, 0.1] holds 0.3, the number that you would write.",
        {"grid": {"problem.sigma": [0.02, 0.05], "start.rate": {"linspace": [0.5, 1.5, 3]}}},
    ),
    "zip": (
        "Axes of equal length, side by side.",
        {"zip": {"problem.sigma": [0.02, 0.05, 0.1], "engine.max_steps": [50, 100, 200]}},
    ),
    "list": (
        "Points written out. A point need not set every axis.",
        {"list": [{"problem.sigma": 0.02, "start.rate": 1.0}, {"problem.sigma": 0.05}]},
    ),
    "sample": (
        "A design over distributions and choices: `lhs`, `sobol`, `halton` or `random`. Raising `n` of a sobol, halton "
        "or random design keeps the earlier points; of an lhs design it changes every point.",
        {
            "sample": {
                "design": "sobol",
                "n": 4,
                "space": {"start.rate": {"log_uniform": [0.1, 10]}, "start.offset": {"normal": [0, 1]}},
            }
        },
    ),
    "file": (
        "Rows of a CSV, Parquet, JSON or JSON-lines file next to the manifest. `columns` maps axes to columns of the "
        "file; without it the columns are named by axis paths. See [Tables](#tables) for how cells are read.",
        {"file": {"path": "starts.csv", "columns": {"start.rate": "rate", "tag.night": "night"}}},
    ),
    "product": (
        "Every point of a child with every point of the others. Two children that set one axis: an error.",
        {
            "product": [
                {"grid": {"problem.sigma": [0.02, 0.05]}},
                {"zip": {"start.rate": [0.5, 1.5], "start.offset": [0.1, 0.3]}},
            ]
        },
    ),
    "union": (
        "The points of one child after those of the other.",
        {"union": [{"grid": {"problem.sigma": [0.02, 0.05]}}, {"list": [{"problem.sigma": 0.5, "problem.n": 1000}]}]},
    ),
    "switch": (
        "For each value of a key its own node. Inside a product the key may be set by an earlier child; by itself, "
        "`switch` sets it.",
        {
            "switch": {
                "key": "engine.loss",
                "cases": {"linear": {}, "soft_l1": {"grid": {"engine.f_scale": [0.5, 1.0]}}},
            }
        },
    ),
}
STARTS_CSV = "rate,night\n0.5,first\n1.0,second\n1.5,second\n"  # the file of the `file` example


def main() -> int:
    """Write or compare; 1 when --check finds a page that is not up to date."""
    stale = []
    for path, text in pages():
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT))
    for path in stale:
        print(f"error: {path} is not up to date\nhint: make docs", file=sys.stderr)
    return 1 if stale else 0


def pages() -> Iterator[tuple[Path, str]]:
    """Every generated file and its text."""
    yield ROOT / "docs" / "manifest.md", manifest_page()
    yield ROOT / "docs" / "commands.md", commands_page()
    schema = manifest_schema(_own(PROBLEMS), _own(ENGINES))
    yield ROOT / "manifests" / "schema" / "campaign-1.schema.json", schema_text(schema)


def _own(group: str) -> list[Any]:
    """The plug-ins of this repository, whatever else is installed."""
    found = [load(group, name) for name in names(group)]
    return [plugin for plugin in found if _is_ours(plugin.options.__module__)]


def _is_ours(module: str) -> bool:
    return (ROOT / "src" / module.replace(".", "/")).with_suffix(".py").exists() or (
        ROOT / "campaigns" / module.replace(".", "/")
    ).with_suffix(".py").exists()


def manifest_page() -> str:
    """The reference of the manifest: its text from docs/manifest.in.md, tables and points from the code."""
    text = (ROOT / "docs" / "manifest.in.md").read_text(encoding="utf-8")
    for name, made in {
        "TOP": key_table(ManifestDocument),
        "STAGE": key_table(StageDocument),
        "EXECUTION": key_table(Execution),
        "OPERATORS": "\n".join(operator_section(name) for name in OPERATORS),
    }.items():
        text = text.replace(f"{{{{{name}}}}}", made)
    return MADE + text


def key_table(model: type[BaseModel]) -> str:
    """Keys of a model as a Markdown table."""
    properties = model.model_json_schema(by_alias=True)
    required = properties.get("required", ())
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, schema in properties["properties"].items():
        default = "required" if name in required else f"`{json.dumps(schema.get('default'))}`"
        default = "–" if default == "`null`" else default
        lines.append(f"| `{name}` | {_type(schema)} | {default} | {schema.get('description', '')} |")
    return "\n".join(lines)


def _type(schema: dict[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{json.dumps(v)}`" for v in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    return schema.get("type", "any")


def example_manifest(node: Any) -> dict[str, Any]:
    """The manifest that an example is part of."""
    return {
        "schema": "campaign/1",
        "name": "example",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": node,
    }


def example_points(node: Any) -> list[dict[str, Any]]:
    """The points of an example, each axis → value."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "starts.csv").write_text(STARTS_CSV)
        loaded = from_document(example_manifest(node), folder=folder)
        if loaded.findings:
            raise ValueError("\n".join(map(str, loaded.findings)))
        (stage,) = loaded.manifest.stages
        points = expand(stage, base=base_values(loaded.manifest, stage))
        rows: list[dict[str, Any]] = [{} for _ in range(points.n)]
        for path, column in points.columns.items():
            present = column.where_present()
            for i in np.flatnonzero(present):
                value = column.data[i]
                rows[i][path] = column.values[value] if column.is_coded else value.item()
    return rows


def operator_section(name: str) -> str:
    """Heading, example and resulting points of an operator."""
    what, node = EXAMPLES[name]
    points = example_points(node)
    shown = "\n".join(_point(point) for point in points)
    body = _pretty(node)
    return f"### {name}\n\n{what}\n\n```json\n{body}\n```\n\n{len(points)} points:\n\n```text\n{shown}\n```\n"


def _pretty(node: Any, indent: int = 0) -> str:
    """JSON with a line for everything that fits one."""
    flat = json.dumps(node, ensure_ascii=False)
    if len(flat) + indent <= 90 or not isinstance(node, dict | list) or not node:
        return flat
    space = " " * (indent + 2)
    if isinstance(node, list):
        inner = [space + _pretty(value, indent + 2) for value in node]
    else:
        inner = [f"{space}{json.dumps(key)}: {_pretty(value, indent + 2)}" for key, value in node.items()]
    opening, closing = ("[", "]") if isinstance(node, list) else ("{", "}")
    return "\n".join([opening, ",\n".join(inner), " " * indent + closing])


def _point(point: dict[str, Any]) -> str:
    return "  ".join(
        f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items() if k != "replicate"
    )


def commands_page() -> str:
    """The help of every command."""
    text = f"{MADE}# Commands\n\nEvery command takes `--debug`; every command that prints data takes `--json`.\n"
    context = click.Context(group, info_name="campaign", max_content_width=110, terminal_width=110)
    text += f"\n```text\n{group.get_help(context)}\n```\n"
    for name in COMMANDS:
        command = group.get_command(context, name)
        if command is None:
            raise LookupError(name)
        own = click.Context(command, info_name=name, parent=context, max_content_width=110, terminal_width=110)
        text += f"\n## {name}\n\n```text\n{command.get_help(own)}\n```\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
