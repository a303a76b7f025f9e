"""Whether a problem can be compiled: found by tracing its model once, without computing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from campaign.errors import InvalidValue
from campaign.problem.base import Problem, has_residuals
from campaign.problem.storable import require_storable

PAGE = "docs/my-model-is-not-jax.md"
_NOT_JAX = (
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
)


def require_traceable(problem: Problem, name: str) -> None:
    """Check that a problem's model is JAX, and that what it gives can be stored.

    Only what says so beyond doubt counts: `if` on a parameter, a NumPy or `math` function of one. Other errors are left
    to the run, which reports them.

    Raises:
        InvalidValue: it is not, with file and line; or a name or shape that cannot be stored.
    """
    theta = jax.ShapeDtypeStruct((len(problem.space),), float)
    is_compared = has_residuals(problem) or type(problem).log_likelihood is not Problem.log_likelihood
    methods: list[Callable[..., Any]] = [problem.predict, problem.derived]
    if is_compared:
        methods.append(problem.residuals if has_residuals(problem) else problem.log_likelihood)
    given: dict[str, Any] = {}
    for method in methods:
        try:
            given[method.__name__] = jax.eval_shape(method, theta)
        except _NOT_JAX as error:
            raise InvalidValue(
                f"the model of `{name}` is not JAX{_where(error)}", hint=f"wrap it in PythonModel, see {PAGE}"
            ) from error
        except Exception:  # not ours to judge: whatever else is wrong shows in the run
            continue
    require_storable(problem, name, given.get("predict"), given.get("derived"))


def _where(error: BaseException) -> str:
    """`` (mine.py line 12)``: the innermost line outside of installed packages."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not any(part in file for part in ("site-packages", "<", "campaign/problem/traceable")):
            place = f" ({Path(file).name} line {trace.tb_lineno})"
        trace: Any = trace.tb_next
    return place
