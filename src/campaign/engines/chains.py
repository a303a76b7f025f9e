"""Transformations and schedules of optax from data: names and numbers, checked by `chain_names`, nothing evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from campaign.engines.chain_names import ALIASES


def schedule_of(data: str | Mapping[str, Any] | None) -> Callable[[Any], Any] | None:
    """Step → factor of the rate; None: always 1. `data` may be JSON text."""
    if data is None:
        return None
    given = json.loads(data) if isinstance(data, str) else dict(data)
    name = str(given.pop("schedule"))
    if name == "join_schedules":
        return optax.join_schedules([schedule_of(one) for one in given["schedules"]], given["boundaries"])  # pyright: ignore
    if "boundaries_and_scales" in given:
        given["boundaries_and_scales"] = {int(k): v for k, v in given["boundaries_and_scales"].items()}
    return getattr(optax, name)(**given)


def transform_of(data: str) -> optax.GradientTransformation:
    """The transformations of a list of data (JSON text), one after another."""
    return optax.chain(*(_transform(one) for one in json.loads(data)))


def _transform(data: str | Mapping[str, Any]) -> optax.GradientTransformation:
    given: dict[str, Any] = {"transform": data} if isinstance(data, str) else dict(data)
    name = str(given.pop("transform"))
    if name == "sgd":
        return optax.trace(given.get("momentum", 0.0), nesterov=bool(given.get("nesterov", False)))
    if name == "scale_by_schedule":
        schedule = schedule_of(given["step_size_fn"])
        return optax.scale_by_schedule(lambda step: factor_at(schedule, step, float))
    return getattr(optax, ALIASES.get(name, name))(**given)


def factor_at(schedule: Callable[[Any], Any] | None, step: Any, dtype: Any) -> Any:
    """η(t). Optax computes it in the type of the step: of an integer in single precision."""
    return jnp.ones((), dtype) if schedule is None else jnp.asarray(schedule(jnp.asarray(step, dtype)), dtype)
