"""The operators of `expand` as JSON Schema, with one example each, for the schema and the manual."""

from __future__ import annotations

from typing import Any

from campaign.space.designs import DESIGNS
from campaign.space.priors import BOUND, KINDS

AXIS = r"^((problem|engine|start|scale|tag)\..+|label|replicate)$"

EXAMPLES: dict[str, Any] = {
    "grid": {"grid": {"problem.model": ["lcdm", "pbuf"], "problem.cov_scale": {"linspace": [0.5, 1.5, 11]}}},
    "zip": {"zip": {"start.rate": [0.5, 1, 2], "tag.guess": ["slow", "middle", "fast"]}},
    "list": {"list": [{"problem.dataset": "Thurber", "problem.start_point": 1}, {"problem.dataset": "MGH09"}]},
    "sample": {"sample": {"design": "sobol", "n": 128, "space": {"start.H0": {"uniform": [50, 90]}}}},
    "file": {"file": {"path": "points.csv", "columns": {"start.H0": "H0", "tag.source": "name"}}},
    "product": {"product": [{"grid": {"problem.n": [20, 50]}}, {"list": [{"start.rate": 1}, {"start.rate": 2}]}]},
    "union": {"union": [{"grid": {"start.rate": [0.5, 1, 2]}}, {"grid": {"start.offset": [0, 1]}}]},
    "switch": {
        "switch": {
            "key": "problem.model",
            "cases": {"lcdm": {}, "pbuf": {"grid": {"start.k_sat": {"logspace": [0.01, 1, 5]}}}},
        }
    },
}

DESCRIPTIONS: dict[str, str] = {
    "grid": "all combinations of the values of all axes; the last axis varies fastest",
    "zip": "axes of equal length, combined element by element",
    "list": "points written out one by one",
    "sample": "a design over distributions and choices; sobol, halton and random extend when n is raised",
    "file": "rows of a CSV, Parquet, JSON or JSON-lines file next to the manifest",
    "product": "all combinations of the points of the children",
    "union": "the points of one child after those of another",
    "switch": "a node for each value of a key; in a product, of a key that an earlier child sets",
}


def example(operator: str) -> dict[str, Any]:
    """One example of an operator: a node that may be under `expand`."""
    return EXAMPLES[operator]


def definitions() -> dict[str, Any]:
    """JSON Schema definitions: node, values, point, distribution and one of each operator."""
    reference = [{"$ref": f"#/$defs/operator_{name}"} for name in EXAMPLES]
    return {
        "node": {"description": "one operator", "oneOf": reference},
        "axis": {"type": "string", "pattern": AXIS, "description": "dotted path into the stage"},
        "values": {"description": "the values of an axis", "oneOf": _values()},
        "point": _object_of({}, "axis → value", least=0),
        "distribution": {
            "description": "a prior",
            "oneOf": [*(_distribution(k, v) for k, v in KINDS.items()), _bound()],
        },
        **{f"operator_{name}": _operator(name, body) for name, body in _bodies().items()},
    }


def _operator(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": DESCRIPTIONS[name],
        "properties": {name: body},
        "required": [name],
        "additionalProperties": False,
        "examples": [EXAMPLES[name]],
    }


def _bodies() -> dict[str, dict[str, Any]]:
    nodes = {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1}
    values = _object_of({"$ref": "#/$defs/values"}, "axis → values")
    marginal = {"oneOf": [{"$ref": "#/$defs/distribution"}, {"type": "array", "minItems": 1}]}
    return {
        "grid": values,
        "zip": values,
        "list": {"type": "array", "items": {"$ref": "#/$defs/point"}, "minItems": 1},
        "sample": _closed(
            {
                "design": {"enum": list(DESIGNS)},
                "n": {"type": "integer", "minimum": 1},
                "space": _object_of(marginal, "axis → distribution, or a list to choose from"),
                "seed": {"type": "integer", "minimum": 0, "description": "default: from the campaign's seed"},
                "scramble": {"type": "boolean", "default": True},
            },
            ["design", "n", "space"],
        ),
        "file": _closed(
            {
                "path": {"type": "string", "description": "relative to the manifest"},
                "columns": _object_of({"type": "string"}, "axis → column of the file"),
                "missing": {
                    "enum": ["refuse", "default"],
                    "default": "refuse",
                    "description": "an empty cell is an error, or means the stage's value; an empty tag is left out",
                },
                "encoding": {"type": "string", "default": "utf-8", "description": "of CSV and JSON files"},
            },
            ["path"],
        ),
        "product": nodes,
        "union": nodes,
        "switch": _closed(
            {
                "key": {"$ref": "#/$defs/axis"},
                "cases": {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {
                        "anyOf": [{"type": "object", "maxProperties": 0}, {"$ref": "#/$defs/node"}]
                    },
                },
            },
            ["key", "cases"],
        ),
    }


def _values() -> list[dict[str, Any]]:
    three = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
    forms = {
        "linspace": "[first, last, n], both ends included",
        "logspace": "[first, last, n], geometric, both ends included",
        "range": "[start, stop, step], without stop",
    }
    ranges = [_closed({name: {**three, "description": text}}, [name]) for name, text in forms.items()]
    return [{"type": "array", "minItems": 1}, *ranges]


def _distribution(kind: str, numbers: tuple[str, ...]) -> dict[str, Any]:
    array: dict[str, Any] = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": len(numbers),
        "maxItems": len(numbers),
        "description": ", ".join(numbers),
    }
    named = [numbers, ("mean", "sd")] if kind == "log_normal" else [numbers]
    forms = [array, *(_closed({name: {"type": "number"} for name in names}, list(names)) for names in named)]
    if len(numbers) == 1:
        forms.insert(0, {"type": "number", "description": numbers[0]})
    return _closed({kind: {"anyOf": forms}}, [kind])


def _bound() -> dict[str, Any]:
    end = {"type": ["number", "null"], "description": "left out or null: open"}
    body = _closed({"of": {"$ref": "#/$defs/distribution"}, "lower": end, "upper": end}, ["of"])
    return _closed({BOUND: {**body, "description": "a distribution between bounds", "minProperties": 2}}, [BOUND])


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _object_of(value: dict[str, Any], description: str, least: int = 1) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"$ref": "#/$defs/axis"},
        "additionalProperties": value or True,
        "minProperties": least,
    }
