"""What a program's runs report: the trace specification and the published description that the reducer trusts."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from campaign import __version__
from campaign.engines.base import AbstractEngine
from campaign.engines.base import Field as Recorded
from campaign.engines.batch import take_lanes
from campaign.engines.program import Shapes
from campaign.engines.xla import foreign_flags
from campaign.errors import InvalidValue
from campaign.problem.base import Problem, has_residuals
from campaign.problem.target import Target
from campaign.space import priors
from campaign.store.trace_chunks import chunk_lengths
from campaign.store.trace_groups import declared_arrays
from campaign.store.trace_policy import TracePolicy
from campaign.store.trace_spec import Field, TraceSpec
from campaign.work.group import Group
from campaign.work.jax_runtime import device_name
from campaign.work.truth import truths

Attributes = Mapping[str, Any]
_PLAIN = Recorded()


def trace_spec(
    shapes: Shapes,
    group: Group,
    policy: TracePolicy,
    *,
    capacity: int,
    n_rows: int,
    run_ids: Callable[[], np.ndarray],
    attributes: Attributes,
) -> TraceSpec:
    """Arrays of a program's trace group, from the shapes that its calls give.

    Args:
        policy: which fields and steps are recorded; no names: the fields that the engine records by default.
        capacity: runs of a full block.
        n_rows, run_ids: all runs of the program.
    """
    engine = group.batch.work.engine
    names, units = group.free_names, tuple(group.space[n].unit for n in group.free_names)
    problem_units = group.batch.work.target.problem.units()
    one = one_run(group)
    known = engine.fields(one)
    fields = [
        _step_field(engine, one, name, known.get(name), info, units, policy, capacity)
        for name, info in shapes.info.items()
        if policy.has_details or policy.is_traced(name, is_default=known.get(name, _PLAIN).is_default)
    ]
    named, coordinates = {name: field.dims for name, field in known.items() if field.once}, {}
    if not shapes.result[0].arrays.keys() <= named.keys():
        coordinates = _first_run(group).coordinates()
        named = {name: tuple(own) for name, own in coordinates.items()} | named
    for name, info in shapes.result[0].arrays.items():
        dims = named.get(name) or tuple(f"{name}_{i}" for i in range(len(info.shape) - 1))
        _check_lengths(name, info.shape[1:], coordinates.get(name, {}))
        run_chunk, chunk = chunk_lengths(capacity, info.shape[1:], info.dtype.itemsize)
        fields.append(
            Field(
                name=name,
                dims=dims,
                shape=info.shape[1:],
                run_chunk=run_chunk,
                chunk=chunk,
                dtype=_stored(info.dtype),
                unit=problem_units.get(name, ""),
                once=True,
                is_detail=policy.is_empty,
            )
        )
    return TraceSpec(
        n_rows=n_rows,
        block_size=capacity,
        fields=tuple(fields),
        coordinates={
            "run_id": (("run",), run_ids, ""),
            **_recorded_steps(fields, policy),
            "parameter": (("parameter",), np.array(names), ""),
            "parameter_unit": (("parameter",), np.array(units), ""),
            **{
                dim: ((dim,), np.asarray(values), problem_units.get(dim, ""))
                for own in coordinates.values()
                for dim, values in own.items()
            },
        },
        attributes=attributes,
    )


def _stored(dtype: Any) -> str:
    return "int8" if np.dtype(dtype).kind == "b" else str(dtype)


def _recorded_steps(fields: Sequence[Field], policy: TracePolicy) -> dict[str, Any]:
    """The coordinate `step`, where not each step is recorded."""
    n = next((field.shape[0] for field in fields if field.dims[:1] == ("step",)), 0)
    return {"step": (("step",), policy.every * np.arange(n, dtype=np.int64), "")} if n and policy.every > 1 else {}


def _step_field(
    engine: AbstractEngine,
    target: Target,
    name: str,
    known: Recorded | None,
    info: Any,
    units: Sequence[str],
    policy: TracePolicy,
    capacity: int,
) -> Field:
    """One `Info` entry: shape (B, chunk_steps, …) becomes an array over (run, step, …) or (run, <joined>, …).

    Where steps are joined along a data axis all are recorded: they are parts of one array.
    """
    chunk_steps, inner = info.shape[1], info.shape[2:]
    dims = known.dims if known is not None else tuple(f"{name}_{i}" for i in range(len(inner)))
    unit = units[0] if "parameter" in dims and len(set(units)) == 1 else ""
    if known is not None and known.joined is not None:
        length, joined, own = known.joined, chunk_steps * inner[0], dims
        shape = (length, *inner[1:])
    else:
        length = policy.n_recorded(engine.n_steps(target))
        joined, own, shape = max(1, chunk_steps // policy.every), ("step", *dims), (length, *inner)
    run_chunk, chunk = chunk_lengths(capacity, (min(joined, length), *shape[1:]), info.dtype.itemsize)
    return Field(
        name=name,
        dims=own,
        shape=shape,
        run_chunk=run_chunk,
        chunk=chunk,
        dtype=_stored(info.dtype),
        unit=unit,
        is_detail=not policy.is_traced(name, is_default=(known or _PLAIN).is_default),
    )


def one_run(group: Group) -> Target:
    """The target of one run of a group, as shapes and types."""

    def one(leaf: Any, is_own: bool) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape[1:] if is_own else leaf.shape, leaf.dtype)

    return jax.tree.map(one, group.batch.work.target, group.batch.is_batched.target)


def _first_run(group: Group) -> Problem:
    """The problem of the first run of a group."""
    target, is_own = group.batch.work.target.problem, group.batch.is_batched.target.problem
    return take_lanes(target, is_own, 0)


def _check_lengths(name: str, shape: tuple[int, ...], coordinates: Mapping[str, Any]) -> None:
    lengths = tuple(len(values) for values in coordinates.values())
    if coordinates and lengths != shape:
        raise InvalidValue(
            f"`predict` gives `{name}` with shape {shape}, "
            f"`coordinates` says {dict(zip(coordinates, lengths, strict=True))}",
            hint="name every dimension once, in order, with as many values as it has",
        )


def description(
    shapes: Shapes, group: Group, spec: TraceSpec | None, header: Mapping[str, Any], metrics: Sequence[str]
) -> dict[str, Any]:
    """The content of programs/<stage>/<program>.json."""
    model: Problem = group.batch.work.target.problem
    units = model.units()
    return {
        "schema": "campaign.program/1",
        "problem": dict(header["problem"]),
        "engine": dict(header["engine"]),
        "parameters": [
            {
                "name": p.name,
                "unit": p.unit,
                "lower": p.lower if np.isfinite(p.lower) else None,
                "upper": p.upper if np.isfinite(p.upper) else None,
                "initial": p.initial,
                "free": p.free,
                "transform": p.transform,
                "prior": None if p.prior is None else priors.document(p.prior),
                "description": p.description,
            }
            for p in group.space.parameters
        ],
        "index_map": one_run(group).index_map.document(),
        "likelihood": {"noise_model": _noise_model(model), "reduce": "mean" if model.is_mean else "sum"},
        "derived": {name: units.get(name, "") for name in shapes.result[1]},
        **_declared_truth(group),
        "metrics": sorted(metrics),
        **({"trace": {}} if spec is None else declared_arrays(spec)),
        "versions": versions(),
        "device": device_name(),
        "xla_flags": foreign_flags(),
    }


def _declared_truth(group: Group) -> dict[str, Any]:
    """Names of the truth of simulated data, with their units; nothing where the problem declares none."""
    names = truths(group)
    units = group.batch.work.target.problem.units() | dict(zip(group.space.names, group.space.units, strict=True))
    return {"truth": {name: units.get(name, "") for name in names}} if names else {}


def _noise_model(problem: Problem) -> str | None:
    """ "gaussian" where ln L is −½ r·r of residuals; what else it is only the problem knows."""
    is_own = type(problem).log_likelihood is not Problem.log_likelihood
    return "gaussian" if has_residuals(problem) and not is_own else None


def versions() -> dict[str, str]:
    """Versions of what computes."""
    return {
        "campaign": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("jax", "jaxlib", "equinox", "numpy", "scipy", "zarr")},
    }
