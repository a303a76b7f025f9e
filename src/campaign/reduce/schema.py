"""The columns of `tables/summary.parquet`: declared from plans and programs, never inferred from rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from campaign.reduce.planned import PlannedStage
from campaign.store.checksum import FIELD
from campaign.store.records import dumps

TABLE_SCHEMA = "campaign.table/1"
SUMMARY_SCHEMA = "campaign.summary/1"
GROUPS = ("theta", "stderr", "derived", "metric", "truth", "init_delta", "final_delta")

_TEXT, _NUMBER, _COUNT, _INDEX = pa.string(), pa.float64(), pa.int64(), pa.int32()
_NAMES = pa.list_(pa.string())
_TIME = pa.timestamp("us", tz="UTC")

Column = tuple[str, pa.DataType, str, str]  # name, type, unit, description

IDENTITY: tuple[Column, ...] = (
    ("run_id", _TEXT, "", "hash of problem, engine, start and seed"),
    ("stage", _TEXT, "", "named step of the campaign"),
    ("label", _TEXT, "", "the manifest's own name for the run"),
    ("problem", _TEXT, "", "name of the problem"),
    ("engine", _TEXT, "", "name of the engine"),
    ("seed", _COUNT, "", "root seed"),
    ("replicate", _COUNT, "", "number of the replicate"),
)
RESULT: tuple[Column, ...] = (
    ("status", _TEXT, "", "ok or failed; null: not finished"),
    ("outcome", _TEXT, "", "how the run ended"),
    ("message", _TEXT, "", "what the engine or the error said"),
    ("loss_initial", _NUMBER, "", "loss at the start"),
    ("loss", _NUMBER, "", "loss at the end"),
    ("n_steps", _COUNT, "", "steps of the engine"),
    ("n_evaluations", _COUNT, "", "evaluations of the model"),
    ("runtime_s", _NUMBER, "s", "wall time of the run; its share where runs advance together"),
    ("compile_s", _NUMBER, "s", "wall time of compilation; its share where runs compile together"),
    ("started_at", _TIME, "", "start of the run"),
    ("host", _TEXT, "", "host that ran it"),
    ("device", _TEXT, "", "device that ran it"),
    ("rows_held", _TEXT, "", "how the rows of a fit were held, and why, where free memory decided it"),
)
ADDRESS: tuple[Column, ...] = (
    ("program", _TEXT, "", "compiled program, and name of its trace group"),
    ("part", _INDEX, "", "number of the plan that planned the run"),
    ("block", _INDEX, "", "block inside the stage and plan"),
    ("row", _INDEX, "", "row in the trace arrays of its program"),
    ("attempt", _INDEX, "", "0 for the first attempt"),
)
LISTS: tuple[Column, ...] = (
    ("bounds_reached", _NAMES, "", "parameters that ended on a bound"),
    ("unidentified", _NAMES, "", "parameters that the data do not determine"),
    ("nonfinite", _NAMES, "", "fields that are null because they were not finite"),
)
EXTRA: tuple[Column, ...] = (("extra", _TEXT, "", "fields that the program did not declare, as JSON"),)

METADATA = (  # keys of the table's metadata
    *(b"campaign.schema", b"campaign.manifest_sha256", b"campaign.plans"),
    *(b"campaign.units", b"campaign.descriptions"),
)
FIXED_NAMES = frozenset(c[0] for c in IDENTITY + RESULT + ADDRESS + LISTS + EXTRA)
ELSEWHERE = (  # differ when the same work is redone
    *("runtime_s", "compile_s", "started_at", "host", "device", "rows_held", "attempt"),
)

_AXIS_TYPES = {"float": _NUMBER, "int": _COUNT, "bool": pa.bool_(), "string": _TEXT, "json": _TEXT}


def record_schema(program: Mapping[str, Any] | None) -> pa.Schema:
    """The JSON records of a program, nested as written; `program` is its declaration, None where it is missing."""
    flat = {c[0]: c[1] for c in IDENTITY + RESULT + ADDRESS + LISTS}
    groups = {group: pa.struct([(n, _NUMBER) for n in names]) for group, names in _group_names(program).items()}
    return pa.schema([("schema", _TEXT), *flat.items(), *groups.items(), (FIELD, _TEXT)])


def result_schema(program: Mapping[str, Any] | None) -> pa.Schema:
    """What is kept of those records, flat: the columns that only a finished run has, with its run id and address."""
    columns = [(c[0], c[1]) for c in IDENTITY[:1] + RESULT + ADDRESS]
    for group, names in _group_names(program).items():
        columns += [(f"{group}.{name}", _NUMBER) for name in names]
    return pa.schema(columns + [(c[0], c[1]) for c in LISTS + EXTRA])


def table_schema(stages: Sequence[PlannedStage], programs: Iterable[Mapping[str, Any]]) -> pa.Schema:
    """The columns of the table: fixed ones, axes, then theta, stderr, derived and metric of all programs, then lists.

    Axes and fields appear in the order in which stages and programs first name them. An axis that is a number in one
    stage and an integer in another is a number; any other mixture is text. Units, where programs differ, are all named.

    Args:
        stages: in the order of the campaign.
        programs: declarations (`programs/<stage>/<program>.json`) of all programs that have any, in plan order.
    """
    fields = [_field(*c) for c in IDENTITY + RESULT + ADDRESS]
    fields += [_field(path, kind, "", "axis of the campaign") for path, kind in _axes(stages).items()]
    units: dict[str, dict[str, list[str]]] = {group: {} for group in GROUPS}
    descriptions: dict[str, str] = {}
    for program in programs:
        for parameter in program.get("parameters", ()):
            descriptions.setdefault(parameter["name"], parameter.get("description", ""))
        for group, names in _group_names(program).items():
            for name, unit in names.items():
                known = units[group].setdefault(name, [])
                if unit not in known:
                    known.append(unit)
    for group in GROUPS:
        for name, known in units[group].items():
            description = descriptions.get(name, "") if group == "theta" else ""
            fields.append(_field(f"{group}.{name}", _NUMBER, " | ".join(known), description))
    fields += [_field(*c) for c in LISTS + EXTRA]
    schema = pa.schema(fields)
    return schema.with_metadata(_metadata(schema, stages))


def comparable(table: pa.Table) -> pa.Table:
    """The table without the columns that tell when and where the work was done: equal for equal results, bit by bit."""
    return table.drop_columns([name for name in ELSEWHERE if name in table.column_names])


def _group_names(program: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Group → name → unit, as a program declares them."""
    if program is None:
        return {group: {} for group in GROUPS}
    parameters = program.get("parameters", ())
    metrics = program.get("metrics", ())
    theta = {p["name"]: p.get("unit", "") for p in parameters}
    truth = dict(program.get("truth", {}))
    deltas = {name: unit for name, unit in truth.items() if name in theta}
    return {
        "theta": theta,
        "stderr": {p["name"]: p.get("unit", "") for p in parameters if p.get("free", True)},
        "derived": dict(program.get("derived", {})),
        "metric": dict(metrics) if isinstance(metrics, Mapping) else dict.fromkeys(metrics, ""),
        "truth": truth,
        "init_delta": deltas,
        "final_delta": deltas,
    }


def _axes(stages: Sequence[PlannedStage]) -> dict[str, pa.DataType]:
    axes: dict[str, pa.DataType] = {}
    for stage in stages:
        for path, axis in stage.header.get("axes", {}).items():
            if path not in FIXED_NAMES:
                kind = _AXIS_TYPES[axis["type"]]
                axes[path] = _common(axes.get(path, kind), kind)
    return axes


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other:
        return one
    return _NUMBER if {one, other} == {_NUMBER, _COUNT} else _TEXT


def _field(name: str, kind: pa.DataType, unit: str, description: str) -> pa.Field:
    said = {"unit": unit, "description": description}
    return pa.field(name, kind, metadata={k: v for k, v in said.items() if v} or None)


def _metadata(schema: pa.Schema, stages: Sequence[PlannedStage]) -> dict[str, bytes]:
    """For readers that know Parquet and not Arrow: the same facts as JSON in the file's key-value metadata."""
    said = {f.name: {k.decode(): v.decode() for k, v in (f.metadata or {}).items()} for f in schema}
    values = (
        TABLE_SCHEMA.encode(),
        (stages[-1].header.get("manifest_sha256") or "").encode() if stages else b"",
        dumps({stage.name: stage.part for stage in stages}),
        dumps({name: f["unit"] for name, f in said.items() if "unit" in f}),
        dumps({name: f["description"] for name, f in said.items() if "description" in f}),
    )
    return {name.decode(): value for name, value in zip(METADATA, values, strict=True)}
