"""The JSON Schema of manifests (draft 2020-12), from the models and the options of the plug-ins that are installed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from campaign import registry
from campaign.errors import CampaignError
from campaign.manifest.model import Execution, ManifestDocument, StageDocument
from campaign.manifest.operators import definitions
from campaign.manifest.retry import retry_schema
from campaign.registry import EnginePlugin, ProblemPlugin
from campaign.store.trace_policy import DIAGNOSTICS, RUNS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_STAGE_KEYS = tuple(name for name in StageDocument.model_fields if name != "name")


def manifest_schema(
    problems: Iterable[ProblemPlugin | EnginePlugin] | None = None,
    engines: Iterable[ProblemPlugin | EnginePlugin] | None = None,
) -> dict[str, Any]:
    """The schema, for editors and other programs.

    `campaign` itself checks manifests by hand-written code, with better messages; the schema says the same.

    Args:
        problems, engines: plug-ins whose options go in; all that are installed and can be imported when left out.
    """
    problems = _installed(registry.PROBLEMS) if problems is None else tuple(problems)
    engines = _installed(registry.ENGINES) if engines is None else tuple(engines)
    shared = definitions()
    stage = _inlined(StageDocument, shared)
    _refine_stage(stage)
    shared["stage"] = stage
    shared["execution"] = _inlined(Execution, shared)
    shared["problem"] = _choice([_plugin(p, shared, "problem") for p in problems], "a problem and its options")
    shared["problem"]["anyOf"].append(_file_problem())
    shared["engine"] = _choice([_plugin(p, shared, "engine") for p in engines], "an engine and its options")
    top = _inlined(ManifestDocument, shared)
    top["properties"]["stages"] = {"type": "array", "items": {"$ref": "#/$defs/stage"}, "minItems": 1}
    top["properties"]["execution"] = {"$ref": "#/$defs/execution"}
    profiles = {"type": "object", "additionalProperties": {"$ref": "#/$defs/execution"}}
    top["properties"]["profiles"] = {**profiles, "description": "name → changes to `execution`"}
    for key in _STAGE_KEYS:  # the one-stage form
        top["properties"].setdefault(key, stage["properties"][key])
    top["required"] = ["schema", "name"]
    top["oneOf"] = [{"required": ["stages"], "not": {"anyOf": [{"required": [k]} for k in _STAGE_KEYS]}}, _one_stage()]
    head = {"$schema": DIALECT, "title": "campaign manifest, version 1"}
    return {**head, **top, "$defs": dict(sorted(shared.items()))}


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as it is stored in a file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schema(path: str | Path) -> None:
    """Write the schema of the installed plug-ins to a file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(schema_text(manifest_schema()), encoding="utf-8")


def _one_stage() -> dict[str, Any]:
    return {"required": ["problem", "engine"], "not": {"required": ["stages"]}}


def _installed(group: str) -> tuple[ProblemPlugin | EnginePlugin, ...]:
    found = []
    for name in registry.names(group):
        try:
            found.append(registry.load(group, name))
        except CampaignError:  # a package that cannot be imported describes itself when it is named in a manifest
            continue
    return tuple(found)


def _inlined(model: type[BaseModel], shared: dict[str, Any]) -> dict[str, Any]:
    """Schema of a model; what it defines goes to `shared`."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    shared.update(schema.pop("$defs", {}))
    schema.pop("description", None)
    return _without_titles(schema)


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    cleaned = {}
    for key, value in schema.items():
        if key == "properties":
            cleaned[key] = {name: _without_titles(entry) for name, entry in value.items()}
        elif key != "title":
            cleaned[key] = _without_titles(value)
    return cleaned


def _refine_stage(stage: dict[str, Any]) -> None:
    """Say in the schema what the model leaves to hand-written checks."""
    properties = stage["properties"]
    number = {"type": "number"}
    properties["problem"] = {"$ref": "#/$defs/problem"}
    properties["engine"] = {"$ref": "#/$defs/engine"}
    properties["expand"] = {"$ref": "#/$defs/node"}
    properties["scale"] |= {"additionalProperties": {"type": "number", "exclusiveMinimum": 0}}
    properties["include"] = {
        "type": "array",
        "items": {"$ref": "#/$defs/point"},
        "description": "further points; they change none of the others",
    }
    properties["exclude"] = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "string"}]},
        "description": "points to leave out: {axis: value} or an expression",
        "examples": [[{"problem.model": "pbuf"}, "problem.cov_scale > 1.4 and start.H0 < 60"]],
    }
    properties["derive"] = {
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/axis"},
        "additionalProperties": {"type": "string"},
        "description": "axis → expression over other axes",
        "examples": [{"start.b": "2 * start.a", "tag.ratio": "start.a / problem.sigma"}],
    }
    properties["trace"] |= {"anyOf": [{"type": "boolean"}, _trace_schema()]}
    properties["retry"] |= retry_schema()
    axis, run, best = {"$ref": "#/$defs/axis"}, {"type": "string"}, {"type": "integer", "minimum": 1}
    picks = [_only({"best": best}), _only({"run": run})]
    scales = {"type": "object", "propertyNames": axis, "minProperties": 1}
    scales["additionalProperties"] = {"type": "number", "exclusiveMinimum": 0}
    properties["start"] |= {
        "properties": {
            "from": {"type": "string", "description": "an earlier stage, or `defaults`"},
            "pick": {
                "anyOf": [{"enum": ["best", "all", "nearest", "group"]}, *picks],
                "default": "best",
                "description": "which of its runs",
            },
            "by": {
                "anyOf": [{"type": "array", "items": axis}, axis, scales],
                "description": "axes that make the groups; for `nearest`: that are compared, with a scale each",
            },
        },
        "additionalProperties": number,
        "examples": [
            {"H0": 67.4},
            {"from": "fit", "pick": "best", "by": ["problem.model"]},
            {"from": "fit", "pick": "nearest", "by": {"tag.time": 10, "problem.mass": 0.5}},
        ],
    }


def _trace_schema() -> dict[str, Any]:
    names = {"type": ["array", "null"], "items": {"type": "string"}, "description": "arrays; default: all"}
    every = {"type": "integer", "minimum": 1, "default": 1, "description": "of the steps, those that it divides"}
    runs = {"enum": list(RUNS), "default": RUNS[0], "description": "first: the first run of each program"}
    said = "runs of which every array is recorded; n: each n-th run of a program; failed: these are run again"
    number = {"type": "integer", "minimum": 1}
    diagnostics = {"anyOf": [{"enum": list(DIAGNOSTICS)}, number], "default": DIAGNOSTICS[0], "description": said}
    properties = {"fields": names, "every": every, "runs": runs, "diagnostics": diagnostics}
    return {"type": "object", "properties": properties, "minProperties": 1, "additionalProperties": False}


def _only(properties: dict[str, Any]) -> dict[str, Any]:
    """An object with exactly these keys."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _choice(options: list[dict[str, Any]], description: str) -> dict[str, Any]:
    return {"description": description, "anyOf": options}


def _plugin(plugin: ProblemPlugin | EnginePlugin, shared: dict[str, Any], kind: str) -> dict[str, Any]:
    """Name and options of a plug-in. No option is required: an axis may set it."""
    schema = plugin.options.model_json_schema(by_alias=True, ref_template=f"#/$defs/{kind}_{plugin.name}_{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        shared[f"{kind}_{plugin.name}_{name}"] = _without_titles(definition)
    properties: dict[str, Any] = {"name": {"const": plugin.name, "description": plugin.description}}
    if kind == "problem":
        properties["free"] = {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "parameters that are fitted; default: chosen by the problem",
        }
    properties |= _without_titles(schema).get("properties", {})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _file_problem() -> dict[str, Any]:
    name = {"type": "string", "pattern": r"\.py:[A-Za-z_]\w*$", "description": "a file next to the manifest"}
    return {"type": "object", "properties": {"name": name}, "required": ["name"]}
