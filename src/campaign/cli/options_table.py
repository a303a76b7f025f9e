"""The options of a plug-in as rows: name, type, default, range, whether it varies inside a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaign.cli.output import pairs, strong, table, write
from campaign.registry import EnginePlugin, ProblemPlugin

HEADER = ("option", "type", "default", "valid", "program", "description")


def describe(plugin: ProblemPlugin | EnginePlugin) -> list[dict[str, Any]]:
    """One record an option, from the plug-in's own model."""
    from campaign.manifest.options import varying_options

    schema = plugin.options.model_json_schema()
    properties, required = schema.get("properties", {}), schema.get("required", ())
    varying = varying_options(plugin.options)
    return [
        {
            "name": name,
            "type": _type(properties[field.alias or name]),
            "required": (field.alias or name) in required,
            "default": properties[field.alias or name].get("default"),
            "valid": _range(properties[field.alias or name]),
            "varying": name in varying,
            "description": field.description or "",
        }
        for name, field in plugin.options.model_fields.items()
    ]


def print_plugin(plugin: ProblemPlugin | EnginePlugin, options: list[dict[str, Any]]) -> None:
    """Heading and options of a plug-in."""
    write(f"{strong(plugin.name)}  {plugin.description}")
    write(pairs([("version", plugin.version)]))
    write()
    if not options:
        write("no options")
        return
    write(table(HEADER, [_row(option) for option in options]))


def _row(option: Mapping[str, Any]) -> tuple[str, ...]:
    default = "required" if option["required"] else _shown(option["default"])
    program = "shared" if option["varying"] else "one each"
    return (option["name"], option["type"], default, option["valid"], program, option["description"])


def _shown(value: Any) -> str:
    from campaign.store.records import dumps

    return "–" if value is None else dumps(value).decode()


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return _shown(schema["const"])
    if "enum" in schema:
        return " | ".join(_shown(v).strip('"') for v in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(part) for part in schema["anyOf"])
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return schema.get("type", "any")


_BOUNDS = (("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}"), ("exclusiveMaximum", "< {}"),
           ("multipleOf", "multiple of {}"))  # fmt: skip


def _range(schema: Mapping[str, Any]) -> str:
    parts = [schema, *schema.get("anyOf", ())]
    return ", ".join(text.format(_number(part[key])) for part in parts for key, text in _BOUNDS if key in part)


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e18 else f"{value:g}"
