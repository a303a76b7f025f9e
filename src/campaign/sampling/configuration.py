"""What a chain follows from besides its start and its model; a file tells whether it is continued by the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.manifest.options import resolved
from campaign.registry import EnginePlugin
from campaign.space import Parameter
from campaign.space.priors import document

if TYPE_CHECKING:
    from campaign.work.group import Group

_BEGIN = ("init", "spread", "positions")  # options that say where walkers start
_INVARIANT = ("ensemble",)  # engines that need start and scale for their first step alone


def configuration(plugin: EnginePlugin, options: Mapping[str, Any], group: Group, seed: int) -> dict[str, Any]:
    """The sampler, its options, the seed and the parameters with their priors, as JSON."""
    given = resolved(plugin.options(**options))
    of_start = _BEGIN if plugin.name in _INVARIANT else ()
    found: dict[str, Any] = {f"option `{k}`": v for k, v in given.items() if k not in (*plugin.unkeyed, *of_start)}
    found |= {"sampler": f"{plugin.name} {plugin.version}", "seed": seed}
    found |= {f"parameter `{name}`": _of(group.space[name]) for name in group.free_names}
    if plugin.name not in _INVARIANT:
        target = group.batch.take(np.zeros(1, np.int64)).work.target
        found |= {"start": _numbers(target.base), "scale": _numbers(target.scale)}
    return found


def require_same(own: Mapping[str, Any], written: Mapping[str, Any], path: str) -> None:
    """Whether a file was written by the same sampler.

    Raises:
        InvalidValue: it was not; says what differs.
    """
    for key in (*written, *(key for key in own if key not in written)):
        if own.get(key) != written.get(key):
            raise InvalidValue(
                f"{path} was begun with {key} = {written.get(key)}, not {own.get(key)}",
                hint="resume with the sampler that wrote it, or run this one into another file",
            )


def _of(parameter: Parameter) -> str:
    prior = "flat" if parameter.prior is None else document(parameter.prior)
    return f"{prior} from {parameter.lower:.17g} to {parameter.upper:.17g}, {parameter.transform}"


def _numbers(values: Any) -> list[float]:
    return np.asarray(values, np.float64).ravel().tolist()
