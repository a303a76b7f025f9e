"""Runs a user's model: compiled where JAX can trace it, in a process of its own where it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import InvalidValue, Parameter, PythonModel, ThetaSpace, start_jax
from campaign_climate.api.evaluations import Batch, Reading, Timing
from campaign_climate.api.outputs import Series, read_outputs
from campaign_climate.model.compared import positions
from campaign_climate.model.target import Target

BLOCK = 256  # rows that are computed at once; one program serves every number of rows
_REPEATS = 5


@dataclass(frozen=True, eq=False)
class ModelRunner:
    """A model as a function of parameters in a fixed order.

    Attributes:
        model_factory: parameters by name → a `Model`, something with `run()`, or outputs, see `outputs.read_outputs`.
            JAX traces it where it can; plain Python or NumPy runs in a process of its own.
        output_variables: what is wanted of it; none means all.
        param_names: the order of theta; a fit gives its own where there are none.
        times: of outputs that are plain arrays.
        update: (model, parameters) → the model with other parameters, or None where it changed the model itself. Then
            `model_factory` is called once a process.
        timeout_s: the longest one evaluation of plain Python may take [s].

    Checked: tests/unit/climate/api/test_climate_runner.py: a batch against single runs, both kinds of model.
    """

    model_factory: Callable[[Any], Any]
    output_variables: Sequence[str] = ()
    param_names: tuple[str, ...] = ()
    times: Any = None
    update: Callable[[Any, Any], Any] | None = None
    timeout_s: float = 3600.0
    _memory: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.model_factory):
            raise InvalidValue(f"`model_factory` is {type(self.model_factory).__name__}, not a function")
        for name in ("output_variables", "param_names"):
            if isinstance(getattr(self, name), str):
                raise InvalidValue(f"`{name}` is a text", hint=f'a list: ["{getattr(self, name)}"]')
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.times is not None:
            object.__setattr__(self, "times", np.asarray(self.times, np.float64))

    @property
    def variables(self) -> tuple[str, ...]:
        """The wanted ones; none means all."""
        return tuple(self.output_variables)

    def with_names(self, names: Sequence[str]) -> ModelRunner:
        """The same runner for parameters in this order.

        Raises:
            InvalidValue: it has names already, and they are others.
        """
        names = tuple(names)
        if self.param_names and set(self.param_names) != set(names):
            raise InvalidValue(
                f"the runner has the parameters {', '.join(self.param_names)}, the fit {', '.join(names)}",
                hint="leave out `param_names`: the fit gives its own",
            )
        return self if names == self.param_names else replace(self, param_names=names, _memory={})

    # -- one model --------------------------------------------------------------------------------------------------

    def outputs(self, values: Mapping[str, Any]) -> dict[str, Series]:
        """The outputs at parameters by name, in this process; what the model raises comes through."""
        return read_outputs(self.made(values), self.variables, self.times)

    def made(self, values: Mapping[str, Any]) -> Any:
        """What the factory returns, or the one model with its parameters changed."""
        if self.update is None:
            return self.model_factory(values)
        if "model" not in self._memory:
            self._memory["model"] = self.model_factory(values)
        changed = self.update(self._memory["model"], values)
        return self._memory["model"] if changed is None else changed

    def run(self, theta: Any) -> dict[str, Series]:
        """variable → (times, values) at theta (d,).

        Raises:
            InvalidValue: theta has another length, or a value of the model is not finite.
        """
        theta = self._checked(theta, 1)
        if self.is_compiled(theta):
            found = self._single(theta)
            own = {name: (self.own_times[name], np.asarray(found[name])) for name in self.own_times}
        else:
            own = self.outputs(self._values(theta))
        for name, (at, values) in own.items():
            wrong = np.flatnonzero(~np.isfinite(values))
            if wrong.size:
                raise InvalidValue(f"the model gives `{name}` = {values[wrong[0]]} at {at[wrong[0]]:g}")
        return own

    def run_batch(self, thetas: Any) -> Batch:
        """Outputs at many theta (n, d): one compiled program for blocks of 256 rows, whatever n is.

        Rows whose model fails have NaN and are not `ok`.

        Raises:
            InvalidValue: rows of another length.
        """
        thetas = self._checked(thetas, 2)
        n = len(thetas)
        probe = thetas[0] if n else np.zeros(len(self.param_names))
        is_compiled = self.is_compiled(probe)
        block = BLOCK if is_compiled else max(n, 1)
        padded = np.concatenate([thetas, np.repeat(probe[None], -n % block, axis=0)])
        compute = self._batched if is_compiled else self._foreign
        parts = [compute(padded[i : i + block]) for i in range(0, len(padded), block)]
        values = {
            name: np.concatenate([np.asarray(part[name]) for part in parts] or [np.zeros((0, len(at)))])[:n]
            for name, at in self.own_times.items()
        }
        ok = np.all([np.isfinite(one).all(axis=1) for one in values.values()], axis=0)
        return Batch(times=dict(self.own_times), values=values, ok=ok)

    def predictions(self, thetas: Any, names: Sequence[str], target: Target) -> dict[str, np.ndarray]:
        """Model values at the times of a target, relative to its reference periods: variable → (n, T).

        Args:
            thetas: (n, d), in the order of `names`. Rows whose model fails are NaN.
        """
        wanted = tuple(dict.fromkeys((*self.output_variables, *target.variables)))
        batch = replace(self, output_variables=wanted, param_names=tuple(names), _memory={}).run_batch(thetas)
        found = {}
        for own in target.observations:
            values = batch.values[own.variable][:, positions(own, batch.times[own.variable])]
            inside = own.in_reference
            found[own.variable] = values - values[:, inside].mean(axis=1, keepdims=True) if inside.any() else values
        return found

    # -- what kind of model it is -----------------------------------------------------------------------------------

    def is_compiled(self, theta: Any) -> bool:
        """Whether JAX can trace the model. Found once; times and variables are fixed then.

        Raises:
            what the model raises, where plain Python fails at theta too.
        """
        if "is_compiled" not in self._memory:
            start_jax()
            try:
                shapes = jax.eval_shape(self._traced, jax.ShapeDtypeStruct((len(self.param_names),), float))
                self._memory["is_compiled"] = all(one.ndim == 1 for one in shapes.values())
            except Exception:
                found = self.outputs(self._values(np.asarray(theta, np.float64)))
                self._memory["times"] = {name: at for name, (at, _) in found.items()}
                self._memory["is_compiled"] = False
        return self._memory["is_compiled"]

    @property
    def own_times(self) -> dict[str, np.ndarray]:
        """Times of each variable; known after `is_compiled`."""
        return self._memory["times"]

    def unread(self, theta: Any) -> tuple[str, ...]:
        """Parameters that the model does not ask for: data say nothing about them."""
        values = Reading(self._values(np.asarray(theta, np.float64)))
        if self.update is None:
            self.model_factory(values)
        else:
            self.update(self.model_factory(dict(values)), values)
        return tuple(name for name in self.param_names if name not in values.read)

    def timing(self, theta: Any) -> Timing:
        """How long one evaluation takes, with making the model apart from running it; the least of five."""
        theta = self._checked(theta, 1)
        if self.is_compiled(theta):
            jax.block_until_ready(self._batched(np.repeat(theta[None], BLOCK, axis=0)))
            run = min(
                self._seconds(lambda: jax.block_until_ready(self._batched(np.repeat(theta[None], BLOCK, axis=0))))
            )
            return Timing(0.0, run / BLOCK, True)
        values = self._values(theta)
        model = self.made(values)
        making = 0.0 if self.update is not None else min(self._seconds(lambda: self.model_factory(values)))
        is_lazy = hasattr(model, "series") or callable(getattr(model, "run", None))
        running = min(self._seconds(lambda: read_outputs(model, self.variables, self.times)))
        return Timing(making, running, False) if is_lazy else Timing(0.0, making + running, False)

    @staticmethod
    def _seconds(call: Callable[[], Any]) -> list[float]:
        found = []
        for _ in range(_REPEATS):
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
        return found

    # -- how it is computed -----------------------------------------------------------------------------------------

    def _traced(self, theta: Any) -> dict[str, Any]:
        values = {name: theta[i] for i, name in enumerate(self.param_names)}
        found = read_outputs(self.model_factory(values), self.variables, self.times)
        self._memory["times"] = {name: at for name, (at, _) in found.items()}
        return {name: jnp.asarray(own) for name, (_, own) in found.items()}

    @cached_property
    def _single(self) -> Callable[[Any], dict[str, Any]]:
        return jax.jit(self._traced)

    @cached_property
    def _batched(self) -> Callable[[Any], dict[str, Any]]:
        return jax.jit(jax.vmap(self._traced))

    @cached_property
    def _foreign(self) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        sizes = {name: len(at) for name, at in self.own_times.items()}
        ends = np.cumsum([0, *sizes.values()])
        model = PythonModel(
            Concatenated(replace(self, _memory={}), tuple(sizes)),
            free_space(self.param_names),
            gives="residuals",
            outputs={"values": (int(ends[-1]),)},
            timeout_s=self.timeout_s,
            failures="reject",
        )

        def compute(thetas: np.ndarray) -> dict[str, np.ndarray]:
            flat = np.asarray(jax.vmap(model.residuals)(jnp.asarray(thetas)))
            return {name: flat[:, ends[i] : ends[i + 1]] for i, name in enumerate(sizes)}

        return compute

    def _values(self, theta: np.ndarray) -> dict[str, float]:
        return dict(zip(self.param_names, theta.tolist(), strict=True))

    def _checked(self, theta: Any, dims: int) -> np.ndarray:
        array = np.asarray(theta, np.float64)
        if not self.param_names:
            raise InvalidValue("the runner does not know its parameters", hint="ModelRunner(…, param_names=[…])")
        if array.ndim != dims or array.shape[-1] != len(self.param_names):
            raise InvalidValue(
                f"theta has shape {array.shape}, and there are {len(self.param_names)} parameters",
                hint=f"in this order: {', '.join(self.param_names)}",
            )
        return array


@dataclass(frozen=True)
class Concatenated:
    """All variables of a model in one vector, for a process of its own."""

    runner: ModelRunner
    variables: tuple[str, ...]

    def __call__(self, values: dict[str, float]) -> np.ndarray:
        found = self.runner.outputs(values)
        return np.concatenate([np.asarray(found[name][1], np.float64) for name in self.variables])


def free_space(names: Sequence[str]) -> ThetaSpace:
    """Parameters of which nothing but the names are known."""
    return ThetaSpace(tuple(Parameter(name=name, initial=0.0, scale=1.0) for name in names))
