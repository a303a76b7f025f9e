"""A problem from a plain Python or NumPy function: it may use `if`, SciPy, files, whatever Python can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.foreign.evaluator import Outputs
from campaign.problem.foreign.server import PythonEvaluator
from campaign.problem.foreign.source import Function, source_of
from campaign.space import Parameter, ThetaSpace

if TYPE_CHECKING:
    from campaign.problem.foreign.models import ForeignModel

DAY_S = 86_400.0


def PythonModel(
    function: Callable[..., Any],
    parameters: Sequence[Parameter] | ThetaSpace,
    *,
    data: Any = None,
    sigma: Any = None,
    x: Any = None,
    gives: str = "predictions",
    fit: str | None = None,
    outputs: Mapping[str, int | tuple[int, ...]] | None = None,
    call: str = "dict",
    batched: bool = False,
    timeout_s: float = 3600.0,
    failures: str = "end",
    axes: Mapping[str, Mapping[str, Any]] | None = None,
    units: Mapping[str, str] | None = None,
) -> ForeignModel:
    """A problem of a function of the parameters.

    The function runs in its own process next to each worker. There it may raise, call `sys.exit`, crash or hang:
    only the run that it computed for fails, with its message, file and line. With data y and errors σ the residuals are
    (function − y)/σ. Derivatives are central differences with h = eps^(1/3)·max(|theta|, scale), to one side at a
    bound, all evaluated in one batch.

    Args:
        function: ``function(parameters)``, or ``function(x, parameters)`` when `x` is given. `parameters` is a
            dictionary of floats by name, or an array (d,) with ``call="array"``. It returns a number, an array, or a
            dictionary of them, and depends on nothing else.
        parameters: what it takes, in order.
        data: measured values, of the shape of what it returns (or of its output `fit`).
        sigma: their errors, a number or one for each; None when they are not known.
        x: passed to the function first, for models that are written ``f(x, parameters)``.
        gives: "predictions", or "residuals" or "log_likelihood" when the function compares with data itself.
        fit: which entry of a returned dictionary that is; None is the first.
        outputs: names and shapes of what it returns. Known without asking where data or a log-likelihood say it; else
            the function is called once at the initial parameters.
        call: "dict" or "array".
        batched: the function takes many rows at once: dictionary entries (B,), or an array (B, d); the first axis of
            what it returns is that of rows.
        timeout_s: the longest one evaluation may take [s]; one call of a batched function.
        failures: "end" ends a run whose evaluation fails; "reject" treats the place as impossible and goes on.
        axes, units: of outputs: ``{"signal": {"time": times}}``, ``{"signal": "V"}``.

    Raises:
        InvalidValue: what is given does not belong together, or the function fails when it is asked for its shapes.

    Checked: tests/integration/test_any_model.py against the same model in JAX, with every engine.
    """
    space = parameters if isinstance(parameters, ThetaSpace) else ThetaSpace(tuple(parameters))
    if not callable(function):
        raise InvalidValue(f"`function` is {type(function).__name__}, not a function")
    if call not in ("dict", "array"):
        raise InvalidValue(f"`call` is {call!r}", hint="valid: 'dict', 'array'")
    if not timeout_s > 0:
        raise InvalidValue(f"`timeout_s` is {timeout_s}", hint="a number of seconds above 0")
    told = Function(function, space.names, None if x is None else np.asarray(x), call, batched)
    source = source_of(told)  # a model server goes no further, and needs no JAX
    from campaign.problem.foreign.models import foreign_model

    evaluator = PythonEvaluator(source, min(float(timeout_s), 365 * DAY_S), batched=batched)
    found = Outputs.of(outputs) if outputs else _implied(data, gives, fit)
    if found is None:
        found, _ = evaluator.shapes(space.initial)
    return foreign_model(
        evaluator,
        space,
        found,
        gives=gives,
        fit=fit,
        data=data,
        sigma=sigma,
        failures=failures,
        axes={k: dict(v) for k, v in axes.items()} if axes is not None else _along_x(found, told.x),
        units=dict(units or {}),
    )


def _along_x(outputs: Outputs, x: np.ndarray | None) -> dict[str, dict[str, Any]]:
    """x as the coordinate of outputs that have its length."""
    if x is None or x.ndim != 1:
        return {}
    return {name: {"x": x} for name, shape in outputs.shapes if shape == x.shape}


def _implied(data: Any, gives: str, fit: str | None) -> Outputs | None:
    """What a function gives, as far as its data say it: one unnamed output."""
    if fit is not None:
        return None
    if gives == "log_likelihood":
        return Outputs.of({"log_likelihood": ()})
    return None if data is None else Outputs.of({"model": np.shape(data)})
