"""A problem from a model behind a UM-Bridge server: any language, any machine that speaks HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.problem.external import common
from campaign.problem.foreign.catalogue import UmbridgeOptions, space_of
from campaign.problem.foreign.evaluator import Outputs
from campaign.problem.foreign.http import UmbridgeEvaluator
from campaign.problem.foreign.models import ForeignModel, foreign_model
from campaign.problem.python import DAY_S
from campaign.space import Parameter, ThetaSpace


def UmbridgeModel(
    url: str,
    model: str,
    parameters: Sequence[Parameter] | ThetaSpace,
    *,
    data: Any = None,
    sigma: Any = None,
    gives: str = "predictions",
    config: Mapping[str, Any] | None = None,
    timeout_s: float = 3600.0,
    failures: str = "end",
    units: Mapping[str, str] | None = None,
) -> ForeignModel:
    """A problem of a model that a UM-Bridge server offers.

    Its parameters fill the model's input vectors in order; its output vectors are one output, `model`, or `output_0`,
    `output_1` … where there are several (data belong to the first). Derivatives come from the server where it offers
    ApplyJacobian or Gradient, else from central differences.

    Args:
        url: ``http://host:port``. The server is asked for sizes and abilities when the problem is built.
        model: its name there.
        parameters: one for each number that the model takes.
        config: passed on with every request.
        data, sigma, gives, timeout_s, failures, units: as for `campaign.problem.python.PythonModel`.

    Raises:
        Unavailable: no server answers.
        InvalidValue: it has no such model, or sizes that do not fit.

    Checked: tests/unit/problem/test_umbridge.py against a server of the `umbridge` package and a closed form.
    """
    space = parameters if isinstance(parameters, ThetaSpace) else ThetaSpace(tuple(parameters))
    if not timeout_s > 0:
        raise InvalidValue(f"`timeout_s` is {timeout_s}", hint="a number of seconds above 0")
    evaluator = UmbridgeEvaluator(url, model, config or {}, min(float(timeout_s), 365 * DAY_S))
    evaluator.connect()
    if sum(evaluator.sizes) != len(space):
        raise InvalidValue(
            f"the model `{model}` takes {sum(evaluator.sizes)} numbers, and there are {len(space)} parameters",
            hint="name one parameter for each number, in order",
        )
    sizes = evaluator.output_sizes
    names = ["model"] if len(sizes) == 1 else [f"output_{i}" for i in range(len(sizes))]
    is_scalar = gives == "log_likelihood" or (np.ndim(data) == 0 and data is not None)
    shapes = {name: () if is_scalar and n == 1 else (n,) for name, n in zip(names, sizes, strict=True)}
    return foreign_model(
        evaluator,
        space,
        Outputs.of(shapes),
        gives=gives,
        data=data,
        sigma=sigma,
        failures=failures,
        units=dict(units or {}),
    )


def build(options: UmbridgeOptions) -> ForeignModel:
    """The problem `umbridge`."""
    return UmbridgeModel(options.url, options.model, space_of(options), config=options.config, **common(options))
