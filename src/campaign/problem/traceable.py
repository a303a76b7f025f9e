"""Whether a problem can be compiled: found by tracing its model once, without computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from campaign.errors import InvalidValue
from campaign.own_code import stack_of
from campaign.problem.base import Problem, has_residuals
from campaign.time_limit import OutOfTime

PAGE = "docs/my-model-is-not-jax.md"
_NOT_JAX = (
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
)


def require_traceable(problem: Problem, name: str) -> None:
    """Check that a problem's model is JAX.

    Only what says so beyond doubt counts: `if` on a parameter, a NumPy or `math` function of one. Other errors are left
    to the run, which reports them.

    Raises:
        InvalidValue: it is not, with file and line.
        OutOfTime: it did not come back in the time limit of the caller.
    """
    theta = jax.ShapeDtypeStruct((len(problem.space),), float)
    is_compared = has_residuals(problem) or type(problem).log_likelihood is not Problem.log_likelihood
    methods: list[Callable[..., Any]] = [problem.predict, problem.derived]
    if is_compared:
        methods.append(problem.residuals if has_residuals(problem) else problem.log_likelihood)
    for method in methods:
        try:
            jax.eval_shape(method, theta)
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
