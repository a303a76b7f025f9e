"""Whether what a problem predicts and derives can be stored: names become those of arrays, files and columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.base import Problem

RESERVED = frozenset({"loss", "theta", "run", "run_id", "parameter", "parameter_b", "parameter_unit", "step"})
_LONGEST = 200  # characters; most file systems take 255 bytes


def require_storable(problem: Problem, name: str, predicted: Any, derived: Any) -> None:
    """Check names and shapes of what a problem gives.

    Args:
        problem: for the dimensions of its predictions.
        name: of it, for messages.
        predicted, derived: what `predict` and `derived` give, as arrays or shapes; None where that is not known.

    Raises:
        InvalidValue: a name that cannot be stored, or that something else has; a derived number that is an array.
    """
    dimensions = {dim for own in problem.coordinates().values() for dim in own} if predicted else set()
    for key in predicted if isinstance(predicted, Mapping) else ():
        reason = _reason(key) or ("that is the name of a dimension" if key in dimensions else None)
        if reason:
            raise InvalidValue(f"`{name}` predicts `{key}`: {reason}", hint="give it another name in `predict`")
    for dim in sorted(dimensions, key=str):
        if reason := _reason(dim):
            raise InvalidValue(f"a dimension of what `{name}` predicts is `{dim}`: {reason}", hint="see `coordinates`")
    for key, value in derived.items() if isinstance(derived, Mapping) else ():
        if np.shape(value) != ():
            raise InvalidValue(
                f"`{name}` derives `{key}` with shape {np.shape(value)}",
                hint="`derived` takes scalars, `predict` arrays",
            )


def _reason(name: Any) -> str | None:
    """Why a name cannot be that of an array."""
    if not isinstance(name, str) or not name.strip():
        return "a name is a text that is not empty"
    if len(name) > _LONGEST:
        return f"a name has {_LONGEST} characters at most"
    if any(c in "/\\" or ord(c) < 32 for c in name) or name.startswith((".", "__")) or name == "zarr.json":
        return "a name holds no slashes and control characters, and does not begin with `.` or `__`"
    return f"`{name}` is what every program stores" if name in RESERVED else None
