"""A likelihood on a grid: some parameters stepped through given values, the others where the run starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Outcome, Result
from campaign.engines.catalogue import ScanOptions, check_ranges, grid_values
from campaign.engines.monitor import Monitor
from campaign.errors import InvalidValue
from campaign.problem.target import Target

_CHUNK_BYTES = 4 << 20  # trace of one run between two hand-overs
_TYPICAL_D = 16
_HALF = 0.5  # drop of ln L at one standard deviation of a Gaussian: −½ z², z = 1


class Best(NamedTuple):
    """State: the highest ln L so far, where, and how many points are done."""

    done: Int[Array, ""]
    index: Int[Array, ""]
    log_likelihood: Float[Array, ""]


class Scan(AbstractEngine):
    """ln L at every point of a grid, `chunk` points a step.

    The points are the product of the scanned parameters' values in the order of their names, the last one fastest, so
    that ``log_likelihood.reshape([n of each name])`` is the grid. Their values are in ``grid_<name>``, and the whole
    free theta of every point is in the trace. A grid that leaves the parameter's bounds is an error.

    Trace: ``log_likelihood`` (point), ``theta`` (point, parameter), ``loss`` = the lowest −ln L so far.
    Result: theta is the best point, loss its −ln L; no standard errors. `NONFINITE` when no point has a finite ln L.
    With one scanned parameter also ``metric.interval_lower`` and ``interval_upper``: where ln L, joined by straight
    lines, falls ½ below its highest value; NaN where the grid ends first.

    Checked: tests/oracle/test_scan.py against closed forms.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    ranges: tuple[tuple[float, float], ...] = eqx.field(static=True)
    values: tuple[Float[Array, " n"], ...]
    chunk: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(v.shape[-1] for v in self.values)

    @property
    def n_points(self) -> int:
        return math.prod(self.shape)

    def init(self, target: Target, key: PRNGKeyArray) -> Best:
        self._require_scannable(target)
        return Best(
            done=jnp.zeros((), jnp.int32),
            index=jnp.zeros((), jnp.int32),
            log_likelihood=jnp.full((), -jnp.inf, target.base.dtype),
        )

    def step(self, target: Target, state: Best) -> tuple[Best, Info]:
        index = state.done + jnp.arange(self.chunk, dtype=jnp.int32)
        is_point = index < self.n_points
        theta = jax.vmap(lambda i: self._theta(target, i))(jnp.where(is_point, index, 0))
        value = jax.vmap(lambda x: target.log_likelihood_at(x))(theta)
        usable = jnp.where(is_point & (value < jnp.inf), value, -jnp.inf)  # also false for NaN
        top = jnp.argmax(usable)
        better = usable[top] > state.log_likelihood
        state = Best(
            done=state.done + self.chunk,
            index=jnp.where(better, index[top], state.index),
            log_likelihood=jnp.where(better, usable[top], state.log_likelihood),
        )
        info = {
            "loss": -state.log_likelihood,
            "log_likelihood": jnp.where(is_point, value, jnp.nan),
            "theta": jnp.where(is_point[:, None], theta, jnp.nan),
        }
        return state, info

    def outcome(self, state: Best) -> Int[Array, ""]:
        found = jnp.where(jnp.isfinite(state.log_likelihood), Outcome.CONVERGED, Outcome.NONFINITE)
        return jnp.where(state.done >= self.n_points, found, Outcome.RUNNING)

    def finish(self, target: Target, state: Best) -> Result:
        return Result.of(
            self._theta(target, state.index),
            -state.log_likelihood,
            -target.log_likelihood(target.start()),
            n_evaluations=jnp.minimum(state.done, self.n_points) + 1,
            metrics={"n_points": jnp.asarray(self.n_points, jnp.int32)},
            arrays={f"grid_{name}": values for name, values in zip(self.names, self.values, strict=True)},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        grids = {f"grid_{name}": Field((f"grid_{name}",), once=True) for name in self.names}
        n = self.n_points
        return {
            "loss": Field(),
            "log_likelihood": Field(("point",), joined=n),
            "theta": Field(("point", "parameter"), joined=n),
            **grids,
        }

    def monitor(self, n_runs: int) -> Monitor | None:
        """The interval of a one-parameter scan; see the class."""
        return _Curve(np.asarray(self.values[0], np.float64), n_runs) if len(self.names) == 1 else None

    def _theta(self, target: Target, index: Int[Array, ""]) -> Float[Array, " d"]:
        """Free theta of a point."""
        theta = target.start_theta()
        for name, values, i in zip(self.names, self.values, jnp.unravel_index(index, self.shape), strict=True):
            theta = theta.at[target.space.index(name)].set(values[i].astype(theta.dtype))
        return theta

    def _require_scannable(self, target: Target) -> None:
        if not target.has_likelihood:
            raise InvalidValue(
                f"engine `scan` needs a likelihood, and `{target.name}` has none",
                hint="give the problem `residuals` or `log_likelihood`, or use the engine `evaluate`",
            )
        check_ranges(dict(zip(self.names, self.ranges, strict=True)), target.space)


class _Curve:
    """The monitor of a scan of one parameter: its curve, as large as the grid.

    Attributes:
        values: the parameter's values, (n,) or one row a run.
        curves: ln L, (runs, n); NaN where it was not computed.
    """

    reads = ("log_likelihood",)

    def __init__(self, values: np.ndarray, n_runs: int) -> None:
        self.values = np.array(np.broadcast_to(values, (n_runs, values.shape[-1])))
        self.curves: np.ndarray = np.full((n_runs, values.shape[-1]), np.nan)

    def take(self, fields: Mapping[str, np.ndarray], n_before: int, n_after: int) -> None:
        part = fields["log_likelihood"]
        first = n_before * part.shape[2]
        joined = part.reshape(part.shape[0], -1)[:, : self.curves.shape[1] - first]
        self.curves[:, first : first + joined.shape[1]] = joined

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        lower, upper = np.array([interval(x, y) for x, y in zip(self.values, self.curves, strict=True)]).T
        return {"interval_lower": lower, "interval_upper": upper}

    def estimates(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def leaves(self) -> list[np.ndarray]:
        return [self.curves]

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        self.curves = np.array(leaves[0])


def interval(values: np.ndarray, curve: np.ndarray) -> tuple[float, float]:
    """Where ln L falls ½ below its highest value on either side of it: the 1 σ interval of a likelihood.

    Args:
        values: the parameter, in any order.
        curve: ln L there; NaN and −inf count as outside.

    Returns:
        the first crossings left and right of the maximum, by linear interpolation; NaN where there is none.

    Source: Cox & Hinkley 1974, Theoretical Statistics, sec. 9.3.
    """
    order = np.argsort(values)
    x, y = values[order], np.where(np.isfinite(curve[order]), curve[order], np.nan)
    if np.all(np.isnan(y)):
        return math.nan, math.nan
    top = int(np.nanargmax(y))
    level = y[top] - _HALF
    return _crossing(x[top::-1], y[top::-1], level), _crossing(x[top:], y[top:], level)


def _crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Where y first falls below `level`; NaN when it never does, or falls out of its domain first."""
    below = np.flatnonzero(~(y >= level))
    if below.size == 0 or np.isnan(y[below[0]]):
        return math.nan
    i = int(below[0])
    return float(x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - level) / (y[i - 1] - y[i]))


def build(options: ScanOptions) -> Scan:
    names = tuple(sorted(options.grid))
    values = tuple(jnp.asarray(grid_values(options.grid[name])) for name in names)
    n_points = math.prod(len(v) for v in values)
    chunk = min(options.chunk, n_points)
    max_steps = -(-n_points // chunk)
    return Scan(
        names=names,
        ranges=tuple(options.ranges[name] for name in names),
        values=values,
        chunk=chunk,
        max_steps=max_steps,
        chunk_steps=max(1, min(max_steps, _CHUNK_BYTES // (8 * chunk * (_TYPICAL_D + 1)))),
    )
