"""What a user's model may return, read into one form: variable → (times, values)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.science import InvalidValue
from campaign_climate.model.compared import require_outputs
from campaign_climate.model.sums import namespace

Series = tuple[np.ndarray, Any]  # times (n,), values (n,)


def read_outputs(found: Any, variables: tuple[str, ...], times: np.ndarray | None) -> dict[str, Series]:
    """The wanted variables of a model's output.

    Args:
        found: a `Model`; something with `run()` that returns one of the following; a mapping of variables to
            ``{time: value}``, to ``(times, values)``, to a pandas Series, or, where `times` are given, to arrays.
        variables: the wanted ones; none means all.
        times: of plain arrays.

    Raises:
        InvalidValue: it is none of these, or a variable is missing.
    """
    if hasattr(found, "series") and hasattr(found, "times"):
        own = found.series()
        require_outputs(variables, own)
        return {name: (np.asarray(found.times, np.float64), own[name]) for name in variables or own}
    if not isinstance(found, Mapping) and callable(getattr(found, "run", None)):
        found = found.run()
    if not isinstance(found, Mapping):
        raise InvalidValue(
            f"the model returned {type(found).__name__}",
            hint="return a Model, or a dictionary: variable → {time: value}, (times, values) or pandas Series",
        )
    require_outputs(variables, {str(name): None for name in found})
    return {name: _series(name, found[name], times) for name in variables or tuple(found)}


def read_scalars(found: Any) -> dict[str, Any]:
    """Derived numbers of a model: its `scalars()`, or entries of a mapping that are single numbers."""
    if hasattr(found, "scalars"):
        return dict(found.scalars())
    if isinstance(found, Mapping):
        return {name: value for name, value in found.items() if np.ndim(value) == 0 and not isinstance(value, Mapping)}
    return {}


def _series(name: str, own: Any, times: np.ndarray | None) -> Series:
    if isinstance(own, Mapping):
        values = list(own.values())
        xp = np if all(isinstance(value, (int, float, np.ndarray, np.generic)) for value in values) else None
        stacked = np.asarray(values, np.float64) if xp is np else _stacked(values)
        return np.asarray(list(own), np.float64), stacked
    if hasattr(own, "index") and hasattr(own, "to_numpy"):
        return np.asarray(own.index, np.float64), own.to_numpy(np.float64)
    if isinstance(own, tuple) and len(own) == 2:
        at, values = np.asarray(own[0], np.float64), own[1]
    else:
        if times is None:
            raise InvalidValue(
                f"the model returned `{name}` without times",
                hint="return (times, values) or {time: value}, or give ModelRunner(times=…)",
            )
        at, values = times, own
    values = values if namespace(values) is not np and hasattr(values, "aval") else np.asarray(values, np.float64)
    if at.shape != values.shape:
        raise InvalidValue(f"the model returned `{name}` with {at.shape} times and {values.shape} values")
    return at, values


def _stacked(values: list[Any]) -> Any:
    import jax.numpy as jnp

    return jnp.stack([jnp.asarray(value, float) for value in values])
