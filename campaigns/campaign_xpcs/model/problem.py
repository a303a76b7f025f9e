"""Problems of two-time correlation maps: from maps, or from the options of a manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue, Prior, RowPlan, ThetaSpace, UnknownName, nearest, start_jax
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.scaling import quantile_scaling
from campaign_xpcs.data.stored_maps import StoredMaps
from campaign_xpcs.model import parameters
from campaign_xpcs.model.stored_rows import StoredRows
from campaign_xpcs.model.two_time import TwoTimeProblem
from campaign_xpcs.physics import pairs


def two_time_problem(
    maps: TwoTimeMaps | StoredMaps,
    *,
    mode: str = "laminar_flow",
    shear_model: str = "physical",
    integration: str = "trapezoid",
    scaling: str = "individual",
    order: int = 2,
    fixed_scaling: tuple[Any, Any] | None = None,
    values: Mapping[str, float] | None = None,
    bounds: Mapping[str, Sequence[float]] | None = None,
    priors: Mapping[str, Prior] | str = "none",
    fixed: Iterable[str] = (),
    truth: Mapping[str, float] | None = None,
    space: ThetaSpace | None = None,
    rows: np.ndarray | None = None,
    temper: int = 1,
    plan: RowPlan | None = None,
) -> TwoTimeProblem:
    """The problem of one q.

    Args:
        maps: what was measured; `StoredMaps` are read by slices, pass after pass.
        mode: "laminar_flow" (7 parameters of physics), "static_isotropic" (3); "static_anisotropic" is the same model.
        shear_model: "physical" or "homodyne-compat"; shear rates differ by about π/√2.
        integration: "trapezoid" (as homodyne) or "exact".
        scaling: of contrast and offset: "individual", "averaged", "fourier" (harmonics of φ up to `order`), "fixed".
        fixed_scaling: (contrast, offset), numbers or one an angle, of "fixed"; None: quantiles of the data.
        values, bounds, priors, fixed: changes to the table of parameters, see `parameters.space`; ``contrast`` and
            ``offset`` mean all of them.
        truth: values behind simulated data.
        space: in the place of one made from these.
        temper: K; priors are taken to the power 1/K.
        plan: how the rows are held, where free memory decided it: runs record it.
        rows: positions in the triangle, (m,), the same for each angle; −1 is padding. None: all.

    Raises:
        UnknownName, InvalidValue: a name, value or combination that does not fit.
    """
    start_jax()
    for kind, name, valid in (
        ("shear model", shear_model, parameters.SHEAR_MODELS),
        ("integration", integration, parameters.INTEGRATIONS),
    ):
        if name not in valid:
            raise UnknownName(f"unknown {kind} `{name}`", hint=nearest(name, valid))
    has_shear = not parameters.is_static(mode)
    if has_shear and maps.gap is None:
        raise InvalidValue("the gap between stator and rotor is missing", hint="laminar flow needs `gap` [Å]")
    contrast, offset = _quantiles(maps) if fixed_scaling is None else _each(fixed_scaling, maps.n_phi)
    if space is None:
        known = parameters.fields(mode, scaling, maps.n_phi, order)
        given = parameters.spread(values or {}, [field.name for field in known])
        start = _start(known, bounds, contrast, offset) | given
        space = parameters.space(known, values=start, bounds=bounds, priors=priors, fixed=fixed, temper=temper)
    data, weight, masked = _rows(maps, rows)
    frames = None if rows is None else pairs_of(rows, maps.n_times)
    own = truth or {}
    return TwoTimeProblem(
        data=data,
        weight=_put(weight),
        first=None if frames is None else _put(frames[0]),
        second=None if frames is None else _put(frames[1]),
        times=_put(maps.times_s),
        dt=_put(maps.dt_s),
        phi_deg=_put(maps.phi_deg),
        q=_put(maps.q),
        gap=_put(0.0 if maps.gap is None else maps.gap),
        basis=_put(harmonics(maps.phi_deg, order)),
        fixed_contrast=_put(contrast),
        fixed_offset=_put(offset),
        masked_rows=_put(float(masked)),
        true_theta=_put([float(own.get(name, np.nan)) for name in space.names]),
        space=space,
        mode=mode,
        shear_model=shear_model,
        integration=integration,
        scaling=scaling,
        sigma_is_default=maps.sigma_is_default,
        plan=plan,
        truth_names=tuple(name for name in space.names if name in own),
    )


def _put(values: Any) -> jax.Array:
    """Onto the device; `jnp.asarray` compiles a program for each shape."""
    return jax.device_put(np.asarray(values))


def harmonics(phi_deg: Float[np.ndarray, " n_phi"], order: int) -> Float[np.ndarray, "n_phi b"]:
    """1, cos φ, sin φ, …, cos nφ, sin nφ at the angles."""
    phi = np.deg2rad(phi_deg)
    waves = [wave(k * phi) for k in range(1, order + 1) for wave in (np.cos, np.sin)]
    return np.stack([np.ones_like(phi), *waves], axis=1)


def pairs_of(rows: np.ndarray, n_times: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames (i, j), int32, of positions in the triangle; (0, 1) for padding."""
    i, j = pairs.frames_of(jnp.asarray(np.maximum(rows, 0)), n_times)
    return np.asarray(i), np.asarray(j)


def _quantiles(maps: TwoTimeMaps | StoredMaps) -> tuple[np.ndarray, np.ndarray]:
    return quantile_scaling(maps.coarse if isinstance(maps, StoredMaps) else maps)


def _rows(maps: TwoTimeMaps | StoredMaps, rows: np.ndarray | None) -> tuple[Any, np.ndarray, int]:
    """Data and weights of the rows, and how many of them do not count."""
    if isinstance(maps, StoredMaps):
        if rows is not None:
            raise InvalidValue("a part of the points of maps in a file", hint="read the maps: they then are in memory")
        weight = np.broadcast_to(1.0 / maps.sigma, (maps.n_phi,))[:, None].copy()
        return StoredRows(maps.pairs), weight, maps.n_masked
    data, weight, masked = _resident(maps, rows)
    return _put(data), weight, masked


def _resident(maps: TwoTimeMaps, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, int]:
    i, j = np.triu_indices(maps.n_times, 1)
    if rows is not None:
        i, j = i[np.maximum(rows, 0)], j[np.maximum(rows, 0)]
    counts = maps.mask[:, i, j]
    if rows is not None:
        counts = counts & (rows >= 0)
    data = np.where(counts, maps.c2[:, i, j], 0.0)
    if maps.sigma.ndim < 3 and counts.all():
        return data, np.broadcast_to(1.0 / maps.sigma, (maps.n_phi,))[:, None].copy(), 0
    sigma = maps.sigma[:, i, j] if maps.sigma.ndim == 3 else np.broadcast_to(maps.sigma, (maps.n_phi,))[:, None]
    weight = np.where(counts, 1.0 / np.where(counts, sigma, 1.0), 0.0)
    return data, weight, int(counts.size - np.count_nonzero(counts))


def _each(given: tuple[Any, Any], n_phi: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        contrast, offset = (np.broadcast_to(np.asarray(own, np.float64), (n_phi,)).copy() for own in given)
    except ValueError:
        raise InvalidValue(
            f"fixed scaling has shapes {[np.shape(own) for own in given]}", hint=f"valid: a number, or {n_phi} of them"
        ) from None
    return contrast, offset


def _start(
    known: Sequence[parameters.Field],
    bounds: Mapping[str, Sequence[float]] | None,
    contrast: np.ndarray,
    offset: np.ndarray,
) -> dict[str, float]:
    """Contrasts and offsets to start from, as the data show them, inside their bounds."""
    limits = parameters.spread(bounds or {}, [field.name for field in known])
    found: dict[str, float] = {}
    for field in known:
        stem, _, rest = field.name.partition("[")
        own = {"contrast": contrast, "offset": offset}.get(stem.removesuffix("_c0"))
        if own is not None:
            seen = own[int(rest[:-1])] if rest else np.mean(own)
            found[field.name] = float(np.clip(seen, *limits.get(field.name, (field.lower, field.upper))))
    return found
