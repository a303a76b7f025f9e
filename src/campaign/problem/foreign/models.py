"""Foreign models as problems: the calls out of a compiled program, their derivatives, and what engines ask for."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.foreign import ledger
from campaign.problem.foreign.evaluator import Evaluator, Outputs
from campaign.space import ThetaSpace

END, REJECT = "end", "reject"


class ForeignModel(Problem):
    """A problem whose model is evaluated outside of JAX.

    A failed evaluation gives NaN and is kept with its run. With ``failures="end"`` the run ends there: it is not
    evaluated again, and its record says "error" or "timeout" with the model's own message. With ``"reject"`` that
    place counts as impossible and the engine goes on; only a run that ends without a finite loss fails.

    Derivatives are the model's own where it has them, else central differences (`differences.stencil`).

    Attributes:
        outputs: what the model gives.
        held: its evaluator. Not compared: models that differ in it share a compiled program.
        handle, run: numbers that name evaluator and run in `ledger`.
        moves: parameters that derivatives are wanted for.
    """

    space: ThetaSpace = eqx.field(static=True)
    outputs: Outputs = eqx.field(static=True)
    held: ledger.Held = eqx.field(static=True)
    output_units: tuple[tuple[str, str], ...] = eqx.field(static=True)
    handle: Int[np.ndarray, ""]
    run: Int[np.ndarray, ""]
    moves: np.ndarray
    axes: dict[str, dict[str, np.ndarray]]

    def flat(self, theta: Float[Array, " d"]) -> Float[Array, " M"]:
        """All outputs as one vector."""
        return _call((self.space, self.outputs.size), theta, self.handle, self.run, self.moves)

    def output(self, theta: Float[Array, " d"], name: str) -> Array:
        return self.flat(theta)[self.outputs.place(name)].reshape(self.outputs.shape(name))

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {name: self.output(theta, name) for name in self.predicted() if self.outputs.shape(name)}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {name: self.output(theta, name) for name in self.predicted() if not self.outputs.shape(name)}

    def predicted(self) -> tuple[str, ...]:
        """Outputs that are predictions: arrays are recorded, single numbers go into the summary."""
        return self.outputs.names

    def coordinates(self) -> dict[str, dict[str, Array]]:
        return {name: {k: jnp.asarray(v) for k, v in own.items()} for name, own in self.axes.items()}

    def units(self) -> dict[str, str]:
        return dict(self.output_units)

    def in_block(self, runs: Any, free: tuple[str, ...] | None) -> ForeignModel:
        """The same problem for the runs of a block, one number a lane; `free` are the parameters that move."""
        numbered = eqx.tree_at(lambda p: p.run, self, runs)
        if free is None:
            return numbered
        moves = np.broadcast_to([name in free for name in self.space.names], np.shape(self.moves))
        return eqx.tree_at(lambda p: p.moves, numbered, moves.copy())


class FittedModel(ForeignModel):
    """Residuals: (output − data) / error, or an output that is residuals already.

    Attributes:
        fit: name of the output that the data belong to. Static.
        data, error: flat, (N,); empty where the output is residuals already.
        absolute_sigma: whether errors are known. Static.
    """

    fit: str = eqx.field(static=True)
    absolute_sigma: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Float[np.ndarray, " N"]
    error: Float[np.ndarray, " N"]

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        value = self.flat(theta)[self.outputs.place(self.fit)]
        return value if self.data.size == 0 else (value - self.data) / self.error

    def predicted(self) -> tuple[str, ...]:
        return tuple(name for name in self.outputs.names if name != self.fit or np.shape(self.data)[-1:] != (0,))


class LikelihoodModel(ForeignModel):
    """A log-likelihood, the output that is named `likelihood`.

    Attributes:
        likelihood: its name. Static.
    """

    likelihood: str = eqx.field(static=True)
    absolute_sigma: ClassVar[bool] = True

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        return self.flat(theta)[self.outputs.place(self.likelihood)][0]

    def predicted(self) -> tuple[str, ...]:
        return tuple(name for name in self.outputs.names if name != self.likelihood)


class PredictionModel(ForeignModel):
    """Predictions only."""


def foreign_model(
    evaluator: Evaluator,
    space: ThetaSpace,
    outputs: Outputs,
    *,
    gives: str = "predictions",
    fit: str | None = None,
    data: Any = None,
    sigma: Any = None,
    failures: str = END,
    axes: dict[str, dict[str, Any]] | None = None,
    units: dict[str, str] | None = None,
) -> ForeignModel:
    """The problem of an evaluator.

    Args:
        evaluator: gives the flat vector of `outputs`.
        space: parameters.
        outputs: names and shapes.
        gives: "predictions" (fitted when there are data), "residuals" or "log_likelihood".
        fit: the output that data belong to, or that is residuals or likelihood; None is the first.
        data: values to compare with, of that output's shape.
        sigma: their errors, a number or of the same shape; None fits without known errors.
        failures: "end" or "reject".
        axes, units: of outputs, see `Problem.coordinates` and `Problem.units`.

    Raises:
        InvalidValue: shapes that do not belong together, an error that is not positive, an unknown name.
    """
    if failures not in (END, REJECT):
        raise InvalidValue(f"`failures` is {failures!r}", hint=f"valid: {END!r}, {REJECT!r}")
    if gives not in ("predictions", "residuals", "log_likelihood"):
        raise InvalidValue(f"`gives` is {gives!r}", hint="valid: 'predictions', 'residuals', 'log_likelihood'")
    if data is not None and gives != "predictions":
        raise InvalidValue(
            f"data beside `gives={gives!r}`", hint="omit one: such a model makes its own comparison with data"
        )
    if data is None and sigma is not None:
        raise InvalidValue("`sigma` without `data`", hint="give the data that it is the error of")
    if not outputs.shapes:
        raise InvalidValue("the model has no outputs", hint="return a number, an array or a dictionary of them")
    name = fit or outputs.names[0]
    shape = outputs.shape(name) if name in outputs.names else outputs.place(name) and ()
    is_plain = gives == "predictions" and data is None
    held = ledger.Held(evaluator, ends_run=failures == END or is_plain)
    common: dict[str, Any] = {
        "space": space,
        "outputs": outputs,
        "held": held,
        "output_units": tuple((units or {}).items()),
        "handle": np.asarray(ledger.register(held), np.int64),
        "run": np.asarray(ledger.UNKNOWN, np.int64),
        "moves": np.array([p.free for p in space.parameters]),
        "axes": {k: {n: np.asarray(v) for n, v in own.items()} for k, own in (axes or {}).items()},
    }
    if is_plain:
        return PredictionModel(**common)
    if gives == "log_likelihood":
        if shape:
            raise InvalidValue(f"the log-likelihood `{name}` has shape {shape}", hint="it is one number")
        return LikelihoodModel(**common, likelihood=name)
    if gives == "residuals":
        return FittedModel(**common, fit=name, absolute_sigma=True, data=np.zeros(0), error=np.zeros(0))
    y, error = _compared(data, sigma, name, shape)
    return FittedModel(**common, fit=name, absolute_sigma=sigma is not None, data=y, error=error)


def _compared(data: Any, sigma: Any, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Data and errors, flat."""
    y = np.asarray(data, np.float64)
    if y.shape != shape:
        raise InvalidValue(
            f"the data have shape {y.shape} and the output `{name}` has shape {shape}",
            hint="the model gives one value for each datum",
        )
    error = np.asarray(1.0 if sigma is None else sigma, np.float64)
    if error.shape not in ((), shape):
        raise InvalidValue(f"`sigma` has shape {error.shape}", hint=f"a number, or an array of shape {shape}")
    error = np.broadcast_to(error, shape).reshape(-1)
    wrong = np.flatnonzero(~(error > 0))
    if wrong.size:
        raise InvalidValue(f"`sigma` is {error[wrong[0]]} at index {wrong[0]}", hint="errors are positive")
    wrong = np.flatnonzero(~np.isfinite(y.reshape(-1)))
    if wrong.size:
        raise InvalidValue(f"the data hold {y.reshape(-1)[wrong[0]]} at index {wrong[0]}", hint="leave such points out")
    return y.reshape(-1), error.copy()


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _call(static: tuple[ThetaSpace, int], theta: Array, handle: Array, run: Array, moves: Array) -> Array:
    """Outputs (M,) at theta (d,)."""
    _, size = static
    shape = jax.ShapeDtypeStruct((size,), jnp.float64)
    host = partial(_host_values, size)
    return jax.pure_callback(host, shape, _packed(theta, handle, run), vmap_method="broadcast_all")


@_call.defjvp
def _call_jvp(static: tuple[ThetaSpace, int], primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> Any:
    """Outputs and J·t, from one batched call."""
    space, size = static
    theta, handle, run, moves = primals
    shapes = (jax.ShapeDtypeStruct((size,), jnp.float64), jax.ShapeDtypeStruct((size, len(space)), jnp.float64))
    host = partial(_host_linearised, space, size)
    asked = _packed(theta, handle, run, moves)
    value, jacobian = jax.pure_callback(host, shapes, asked, vmap_method="broadcast_all")
    return value, jacobian @ tangents[0]


def _packed(theta: Array, *rest: Array) -> Array:
    """All arguments of a call in one vector, as doubles: each argument of a callback costs 60 µs."""
    return jnp.concatenate([jnp.atleast_1d(one).astype(jnp.float64) for one in (*rest, theta)])


def _host_values(size: int, asked: np.ndarray) -> np.ndarray:
    handle, run, theta = _unpacked(asked)
    return ledger.values(theta, handle, run, size)


def _host_linearised(space: ThetaSpace, size: int, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    handle, run, rest = _unpacked(asked)
    moves, theta = np.split(rest, 2, axis=-1)
    return ledger.linearised(theta, handle, run, moves != 0, (space.typical, space.lower, space.upper), size)


def _unpacked(asked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Handle, run, and what follows."""
    asked = np.asarray(asked)
    return asked[..., 0].astype(np.int64), asked[..., 1].astype(np.int64), asked[..., 2:]
