"""Whether a problem can be compiled and kept: found by tracing its model once, without computing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from campaign.errors import InvalidValue
from campaign.own_code import stack_of
from campaign.problem.base import Problem, has_residuals
from campaign.time_limit import OutOfTime

PAGE = "docs/my-model-is-not-jax.md"
LONGEST = 200  # bytes of a name; file systems take 255, and files have endings
RESERVED = frozenset({"loss", "theta", "run", "run_id", "parameter", "parameter_b", "parameter_unit", "step", "walker"})
_NOT_JAX = (
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
)


def require_traceable(problem: Problem, name: str) -> None:
    """Check that a problem's model is JAX, and that what it returns has names and shapes that can be kept.

    Only what is beyond doubt counts: `if` on a parameter, a NumPy or `math` function of one, residuals that are no
    vector. Other errors are left to the run, which reports them.

    Raises:
        InvalidValue: it is not, with file and line.
        OutOfTime: it did not come back in the time limit of the caller.
    """
    theta = jax.ShapeDtypeStruct((len(problem.space),), float)
    checks: dict[str, Callable[[Any], str | None]] = {"predict": _wrong_predictions, "derived": _wrong_scalars}
    if has_residuals(problem):
        checks["residuals"] = _wrong_vector
    elif type(problem).log_likelihood is not Problem.log_likelihood:
        checks["log_likelihood"] = _wrong_scalar
    for method, wrong in checks.items():
        function = getattr(problem, method)
        try:
            shapes = jax.eval_shape(function, theta)
        except _NOT_JAX as error:
            own = stack_of(error)
            where = f" ({own[-1]})" if own else ""
            raise InvalidValue(
                f"the model of `{name}` is not JAX{where}", hint=f"wrap it in PythonModel, see {PAGE}"
            ) from error
        except OutOfTime:
            raise
        except (Exception, SystemExit):  # not ours to judge: whatever else is wrong shows in the run
            continue
        if reason := wrong(shapes):
            raise InvalidValue(f"`{method}` of `{name}`{_line_of(problem, method)} {reason}")
    if problem.coordinates():
        _check_coordinates(problem, name)


def _wrong_vector(found: Any) -> str | None:
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 1 or shape[0] == 0:
        return f"returns {_shown(found)}: it must be a vector of at least one residual, shape (N,)"
    return None


def _wrong_scalar(found: Any) -> str | None:
    return None if getattr(found, "shape", None) == () else f"returns {_shown(found)}: it must be one number, shape ()"


def _wrong_scalars(found: Any) -> str | None:
    if not isinstance(found, Mapping):
        return f"returns {_shown(found)}: it must be a dictionary of numbers"
    for key, value in found.items():
        if reason := _wrong_key(key):
            return reason
        if getattr(value, "shape", None) != ():
            return f"gives `{key}` as {_shown(value)}: it must be one number, shape (); arrays belong into `predict`"
    return None


def _wrong_predictions(found: Any) -> str | None:
    if not isinstance(found, Mapping):
        return f"returns {_shown(found)}: it must be a dictionary of arrays"
    for key, value in found.items():
        if reason := _wrong_key(key):
            return reason
        if key in RESERVED:
            return f"names an array `{key}`: that name is taken by what every campaign records; choose another"
        if not hasattr(value, "shape"):
            return f"gives `{key}` as {_shown(value)}: it must be an array"
    return None


def _wrong_key(key: Any) -> str | None:
    """Why something cannot be the name of an array on disk."""
    if not isinstance(key, str):
        return f"has the key {key!r}: names are text"
    if (
        not key.strip()
        or key.startswith(".")
        or not key.isprintable()
        or set(key) & set("/\\")
        or key.endswith(".json")
    ):
        return f"names an array {key!r}: a name is not empty, does not begin with a dot, and has no slash"
    if len(key.encode()) > LONGEST:
        return (
            f"names an array `{key[:40]}…`: {len(key.encode())} bytes are too many for a file name, {LONGEST} at most"
        )
    return None


def _check_coordinates(problem: Problem, name: str) -> None:
    """The dimensions that a problem names: their names are not arrays' at the same time.

    Raises:
        InvalidValue: one cannot be kept.
    """
    where = f"`coordinates` of `{name}`{_line_of(problem, 'coordinates')}"
    named = problem.coordinates()
    for array, dimensions in named.items():
        for dimension in dimensions:
            if reason := _wrong_key(dimension):
                raise InvalidValue(f"{where} {reason.replace('an array', 'a dimension')}")
            if dimension in named:
                raise InvalidValue(
                    f"{where}: `{dimension}` is an array of `predict` and a dimension of `{array}` at the same time",
                    hint="give one of them another name",
                )
            if dimension in RESERVED:
                raise InvalidValue(f"{where} names a dimension `{dimension}`: that name is taken; choose another")


def _line_of(problem: Problem, method: str) -> str:
    """`` (mine.py:12)``, where it can be found."""
    try:
        function = inspect.unwrap(getattr(type(problem), method))
        return f" ({Path(inspect.getsourcefile(function) or '').name}:{inspect.getsourcelines(function)[1]})"
    except (OSError, TypeError, AttributeError):
        return ""


def _shown(found: Any) -> str:
    shape = getattr(found, "shape", None)
    return type(found).__name__ if shape is None else f"an array of shape {shape}"
