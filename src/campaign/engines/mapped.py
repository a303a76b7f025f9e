"""Any compiled engine in eigenmodes of the curvature at its start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Field, Info, Result, State
from campaign.engines.curvature import curvature
from campaign.engines.derivative import scale_of_u
from campaign.engines.monitor import Monitor
from campaign.engines.theta_map import MappableOptions
from campaign.errors import InvalidValue
from campaign.problem.target import Target
from campaign.space.modes import Modes
from campaign.space.transform import Elementwise

MODE = "mode"  # dimension of arrays over the coordinates of a map


class MapState(NamedTuple):
    """The map, and where the engine in it stands."""

    modes: Modes
    inner: State


class Mapped(AbstractEngine):
    """An engine in coordinates z with theta = theta_ref + S V Λ^−½ z.

    F is the curvature of −ln L (or of the posterior) at theta_ref, S the parameters' `scale`, S F S = V Λ Vᵀ. The map
    is made once, before the first step, and is part of the state. Modes whose eigenvalue is below 10⁻¹² of the largest
    do not move, and neither do those that the options leave out. Bounds do not hold in z: a posterior has no density
    beyond them, and a likelihood is asked there.

    Trace: as the engine's, theta in physical units; ``z``, the coordinates of each recorded theta, on request.
    Result: as the engine's; ``metric.n_modes`` that move, ``off_span`` = ‖(I − P)(θ0 − θ_ref)‖ in units of `scale`: how
    far the start is from what the map can reach; ``map_hash`` (32 bits of θ_ref and matrix); arrays ``theta_map``
    (S V Λ^−½ in u), ``theta_ref`` and ``eigenvalues``.

    Attributes:
        engine: what works in z.
        has_prior: the curvature is that of the posterior. Static.
        whiten, n_modes, least: as `Modes.of` takes them. Static.
        reference: parameters and values of θ_ref; the others are at the start. Static.
    """

    engine: AbstractEngine
    has_prior: bool = eqx.field(static=True)
    whiten: bool = eqx.field(static=True)
    n_modes: int | None = eqx.field(static=True)
    least: float | None = eqx.field(static=True)
    reference: tuple[tuple[str, float], ...] = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)

    def init(self, target: Target, key: PRNGKeyArray) -> MapState:
        modes = self._modes(target)
        return MapState(modes, self.engine.init(_within(target, modes), key))

    def prepare(self, target: Target, state: MapState) -> MapState:
        return state._replace(inner=self.engine.prepare(_within(target, state.modes), state.inner))

    def step(self, target: Target, state: MapState) -> tuple[MapState, Info]:
        inner, info = self.engine.step(_within(target, state.modes), state.inner)
        places = info["theta"].reshape(-1, len(target.space))
        z = jax.vmap(state.modes.to_u)(places).reshape(*info["theta"].shape[:-1], state.modes.size)
        return MapState(state.modes, inner), {**info, "z": z}

    def outcome(self, state: MapState) -> Int[Array, ""]:
        return self.engine.outcome(state.inner)

    def finish(self, target: Target, state: MapState) -> Result:
        modes, start = state.modes, target.start()
        found = self.engine.finish(_within(target, modes), state.inner)
        d = len(target.space)
        away = start - modes.reference
        missed = (away - modes.matrix @ (modes.inverse @ away)) / scale_of_u(target)
        return found._replace(
            at_bound=jnp.zeros(d, jnp.int32),
            metrics={
                **found.metrics,
                "n_modes": jnp.sum(modes.is_kept).astype(jnp.int32),
                "off_span": jnp.sqrt(jnp.sum(missed * missed)),
                "map_hash": _hash(jnp.concatenate([modes.reference, modes.matrix.ravel()])),
            },
            arrays={
                **found.arrays,
                "theta_ref": target.theta(modes.reference),
                "theta_map": modes.matrix,
                "eigenvalues": modes.eigenvalues,
            },
        )

    def fields(self, target: Target) -> dict[str, Field]:
        modes = jax.eval_shape(self._modes, target)
        own = self.engine.fields(_within(target, modes))
        return {
            **own,
            "z": Field((*own["theta"].dims[:-1], MODE), joined=own["theta"].joined, is_default=False),
            "theta_ref": Field(("parameter",), once=True),
            "theta_map": Field(("parameter", MODE), once=True),
            "eigenvalues": Field((MODE,), once=True),
        }

    def at_budget(self) -> int:
        return self.engine.at_budget()

    def n_steps(self, target: Target) -> int:
        return self.engine.n_steps(target)

    def monitor(self, n_runs: int) -> Monitor | None:
        return self.engine.monitor(n_runs)

    def settled(self, state: MapState, found: Mapping[str, Any]) -> MapState:
        return state._replace(inner=self.engine.settled(state.inner, found))

    def remarks(self, metrics: Mapping[str, np.ndarray]) -> list[str] | None:
        return self.engine.remarks(metrics)

    def notes(self, metrics: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[str] | None:
        return self.engine.notes(metrics, [f"mode {i}" for i in range(len(names))])

    def _modes(self, target: Target) -> Modes:
        if not isinstance(target.map, Elementwise):
            raise InvalidValue("a map of theta needs the parameters' own coordinates")
        reference = self._reference(target)
        return Modes.of(
            target.map,
            reference,
            curvature(target, reference, self.has_prior),
            scale_of_u(target),
            whiten=self.whiten,
            n_modes=self.n_modes,
            least=self.least,
        )

    def _reference(self, target: Target) -> Float[Array, " d"]:
        if not self.reference:
            return target.start()
        names, given = target.space.names, dict(self.reference)
        unknown = given.keys() - set(names)
        if unknown:
            raise InvalidValue(
                f"`theta_map.reference` names `{min(unknown)}`, no free parameter", hint=f"valid: {', '.join(names)}"
            )
        theta = target.start_theta()
        own = jnp.asarray([given.get(name, np.nan) for name in names], theta.dtype)
        return target.u(jnp.where(jnp.isfinite(own), own, theta))


def _within(target: Target, modes: Modes) -> Target:
    return dataclasses.replace(target, coordinates=modes)


def _hash(values: Float[Array, " n"]) -> Int[Array, ""]:
    """32 bits that depend on every bit of the values and on their order: FNV-1a over their 32-bit words."""
    words = jax.lax.bitcast_convert_type(values, jnp.uint32).ravel()
    start = jnp.asarray(2166136261, jnp.uint32)
    mixed = jax.lax.scan(lambda h, w: ((h ^ w) * jnp.asarray(16777619, jnp.uint32), None), start, words)[0]
    return mixed.astype(jnp.int64) if values.dtype == jnp.float64 else (mixed >> 8).astype(jnp.int32)


def mapped(engine: AbstractEngine, options: MappableOptions) -> AbstractEngine:
    """The engine, in the map that its options ask for."""
    own = options.theta_map
    if own is None:
        return engine
    return Mapped(
        engine=engine,
        has_prior=own.curvature == "posterior",
        whiten=own.whiten,
        n_modes=own.truncate,
        least=own.min_eigenvalue,
        reference=tuple((own.reference or {}).items()),
        max_steps=engine.max_steps,
        chunk_steps=engine.chunk_steps,
    )


def own_options(options: MappableOptions) -> dict[str, Any]:
    """What the engine itself takes."""
    return options.model_dump(exclude={"theta_map"})
