"""What a program's runs report, decoded from `programs/<stage>/<program>.json`: names, units and dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.store.layout import Layout
from campaign.store.records import read_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a problem; bounds are None where there are none."""

    name: str
    unit: str = ""
    description: str = ""
    lower: float | None = None
    upper: float | None = None
    is_free: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program as its first worker described it.

    Attributes:
        name: of the program; also of its trace group.
        problem, engine: name and all options; those that differ between runs hold their base value.
        parameters: in the order of theta.
        derived: name → unit.
        arrays: name → dimensions after `run`, of what is in the trace group.
        blocks: of the free parameters, in order of appearance.
    """

    name: str
    problem: Mapping[str, Any]
    engine: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    derived: Mapping[str, str]
    arrays: Mapping[str, tuple[str, ...]]
    blocks: tuple[str, ...] = ()

    @property
    def free(self) -> tuple[Parameter, ...]:
        """The parameters that move, in the order of the dimension `parameter` of a trace."""
        return tuple(p for p in self.parameters if p.is_free)

    def unit(self, name: str) -> str:
        """Unit of a parameter or derived number; "" where there is none."""
        return next((p.unit for p in self.parameters if p.name == name), self.derived.get(name, ""))


def read_program(layout: Layout, stage: str, program: str) -> Program | None:
    """The description of a program; None before its first block is published."""
    path = layout.program(stage, program)
    return decode(program, read_json(path)) if path.exists() else None


def decode(name: str, document: Mapping[str, Any]) -> Program:
    """A program from the JSON of its description."""
    parameters = tuple(
        Parameter(
            name=p["name"],
            unit=p.get("unit", ""),
            description=p.get("description", ""),
            lower=p.get("lower"),
            upper=p.get("upper"),
            is_free=p.get("free", True),
        )
        for p in document["parameters"]
    )
    return Program(
        name=name,
        problem=document["problem"],
        engine=document["engine"],
        parameters=parameters,
        derived=dict(document.get("derived", {})),
        arrays={key: tuple(field["dims"]) for key, field in document.get("trace", {}).items()},
        blocks=tuple(dict.fromkeys(e["block"] for e in document.get("index_map", {}).get("entries", ()))),
    )
