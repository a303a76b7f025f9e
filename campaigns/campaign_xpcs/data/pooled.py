"""Points in one list, (φ, t1, t2, c2) each, as maps: what is not in the list is masked."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from campaign.science import InvalidValue
from campaign_xpcs.data.maps import DEFAULT_SIGMA, TwoTimeMaps, two_time_maps

_OFF_GRID = 1e-6  # of dt, by which a time may be off
MOST_FRAMES = 50_000  # of the grid that the times are on


def pooled_maps(
    c2: Any,
    *,
    t1: Any,
    t2: Any,
    phi: Any,
    q: Any,
    gap: float | None,
    dt_s: float | None = None,
    sigma: Any = None,
) -> TwoTimeMaps:
    """Maps of a list of points, which may be any part of a grid, in any order.

    (t1, t2) and (t2, t1) are one point: where both are there, their mean with weights 1/σ² stands for them, with the
    error of one, because a symmetric map has each value twice. Points with t1 = t2 do not count.

    Args:
        c2, t1, t2, phi: (n,) values, times [s], angles [degree]. phi may be a number of each angle of (n,) too.
        dt_s: frame period [s]; None: the smallest distance of two times, of which all must be multiples.
        sigma: () or (n,) errors; None is 0.01, and marked as a default.

    Raises:
        InvalidValue: shapes differ, times are not on a grid, or a value twice with different numbers is not symmetric.

    Checked: tests/unit/xpcs/data/test_xpcs_pooled.py: χ² of a list is the one of its maps.
    """
    values, first, second, angle = (np.asarray(a, np.float64).reshape(-1) for a in (c2, t1, t2, phi))
    for name, array in {"t1": first, "t2": second, "phi": angle}.items():
        if array.shape != values.shape:
            raise InvalidValue(f"`{name}` has {array.size} values and `data` {values.size}", hint="one a point")
    if not values.size:
        raise InvalidValue("there are no points")
    errors = np.broadcast_to(np.asarray(DEFAULT_SIGMA if sigma is None else sigma, np.float64), values.shape)
    if not (np.isfinite(errors) & (errors > 0)).all():
        raise InvalidValue(
            f"sigma has values of {np.min(errors):g}", hint="valid: positive numbers; leave other points"
        )
    notes = []
    off = first != second
    if (~off).any():
        notes.append(f"{int((~off).sum())} points with t1 = t2 do not count")
    bad = ~np.isfinite(values)
    if bad.any():
        notes.append(f"{int(bad.sum())} points that are no numbers are masked")
    keep = off & ~bad
    values, first, second, angle, errors = (a[keep] for a in (values, first, second, angle, errors))
    dt, times, i, j = _grid(first, second, dt_s, notes)
    angles, k = np.unique(angle, return_inverse=True)
    low, high = np.minimum(i, j), np.maximum(i, j)
    n = len(times)
    flat = (k.astype(np.int64) * n + low) * n + high  # int64: a point beyond 2³¹ has its own number
    maps, sigmas, mask = _filled(flat, values, errors, (len(angles), n, n), notes)
    notes.append(
        f"{values.size} points in a list, {int(np.triu(mask, 1).sum())} pairs of frames of {len(angles)} angles"
    )
    return two_time_maps(
        maps,
        phi_deg=angles,
        q=q,
        dt_s=dt,
        times_s=times,
        gap=gap,
        sigma=None if sigma is None else sigmas,
        mask=mask,
        notes=tuple(notes),
    )


def _grid(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], dt_s: float | None, notes: list[str]
) -> tuple[float, np.ndarray, Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """dt, all times of the grid, and the frames of each point."""
    different = np.unique(np.concatenate([first, second]))
    if len(different) < 3 or not np.isfinite(different).all() or different[0] < 0:
        raise InvalidValue(
            f"there are {len(different)} different times, from {different[0]:g}", hint="3 or more, from 0"
        )
    dt = float(np.diff(different).min()) if dt_s is None else float(dt_s)
    if not dt > 0:
        raise InvalidValue(f"dt is {dt:g} s", hint="valid: a positive number")
    if dt_s is None:
        dt = _refined(different, dt)
        notes.append(f"dt = {dt:g} s is the smallest distance of two times")
    frames = np.rint((different - different[0]) / dt).astype(np.int64)
    if np.abs(different - different[0] - frames * dt).max() > _OFF_GRID * dt * max(1.0, float(frames[-1]) ** 0.5):
        raise InvalidValue(f"the times are no multiples of dt = {dt:g} s", hint="give dt, or put the data on a grid")
    if frames[-1] >= MOST_FRAMES:
        raise InvalidValue(f"the grid of the times has {frames[-1] + 1} frames", hint=f"at most {MOST_FRAMES}")
    i, j = (frames[np.searchsorted(different, t)] for t in (first, second))
    return dt, different[0] + dt * np.arange(frames[-1] + 1), i, j


def _refined(different: np.ndarray, dt: float) -> float:
    """dt of the whole length: less rounding than in one step."""
    length = float(different[-1] - different[0])
    return length / max(round(length / dt), 1)


def _filled(
    flat: Int[np.ndarray, " n"],
    values: np.ndarray,
    errors: np.ndarray,
    shape: tuple[int, int, int],
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c2, σ and mask, symmetric; a point that is there more than once is a weighted mean."""
    cells, cell = np.unique(flat, return_inverse=True)
    weight = 1.0 / errors**2
    total = np.bincount(cell, weight)
    mean = np.bincount(cell, weight * values) / total
    count = np.bincount(cell)
    if (count > 1).any():
        notes.append(f"{int((count > 1).sum())} pairs of frames are there more than once; their mean is taken")
    angle, rest = np.divmod(cells, shape[1] * shape[2])
    low, high = np.divmod(rest, shape[2])
    maps, sigmas, mask = np.zeros(shape), np.ones(shape), np.zeros(shape, bool)
    for row, column in ((low, high), (high, low)):
        maps[angle, row, column] = mean
        sigmas[angle, row, column] = np.sqrt(count / total)
        mask[angle, row, column] = True
    return maps, sigmas, mask
