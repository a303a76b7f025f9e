"""Part of the maps: some frames, some angles, a wider diagonal, blocks of frames averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue
from campaign_xpcs.data.maps import TwoTimeMaps

_TURN = 360.0
_ROUNDING = 1e-9  # degrees


def frames(maps: TwoTimeMaps, first: int, last: int | None = None) -> TwoTimeMaps:
    """A window of frames, counted from 1, both ends inclusive: N = last − first + 1. Time begins at 0 there.

    Raises:
        InvalidValue: a window that the maps do not have.
    """
    last = maps.n_times if last is None else last
    if not (first >= 1 and first + 2 <= last <= maps.n_times):
        raise InvalidValue(
            f"frames {first} to {last} of {maps.n_times}", hint="valid: 1 ≤ first, last ≤ N, at least 3 frames"
        )
    if (first, last) == (1, maps.n_times):
        return maps
    own = slice(first - 1, last)
    return replace(
        maps,
        c2=maps.c2[:, own, own],
        mask=maps.mask[:, own, own],
        sigma=maps.sigma[:, own, own] if maps.sigma.ndim == 3 else maps.sigma,
        times_s=maps.times_s[own] - maps.times_s[first - 1],
        notes=(*maps.notes, f"frames {first} to {last} of {maps.n_times}; time begins at the first of them"),
    )


def angles(maps: TwoTimeMaps, ranges: Sequence[Sequence[float]]) -> TwoTimeMaps:
    """The angles inside any of the ranges (from, to) [degree], which go up from `from` and may pass 180.

    (−10, 10) is 20° wide, (170, −170) too; (−170, 170) is 340° wide.

    Raises:
        InvalidValue: a range of other than two numbers, or no angle inside.
    """
    inside = np.zeros(maps.n_phi, bool)
    for own in ranges:
        if len(own) != 2 or not np.isfinite(own).all():
            raise InvalidValue(f"a range of angles is {list(own)}", hint="valid: two numbers, from and to")
        low, high = own
        width = _TURN if high - low >= _TURN else np.mod(high - low, _TURN)
        above = np.mod(maps.phi_deg - low + _ROUNDING, _TURN) - _ROUNDING
        inside |= above <= width + _ROUNDING
    if not inside.any():
        raise InvalidValue(
            f"no angle lies in {[list(own) for own in ranges]}",
            hint=f"there are {', '.join(f'{phi:g}' for phi in maps.phi_deg)} degrees",
        )
    return maps if inside.all() else _of_angles(maps, inside)


def _of_angles(maps: TwoTimeMaps, inside: np.ndarray) -> TwoTimeMaps:
    return replace(
        maps,
        c2=maps.c2[inside],
        mask=maps.mask[inside],
        sigma=maps.sigma[inside] if maps.sigma.ndim else maps.sigma,
        phi_deg=maps.phi_deg[inside],
        notes=(*maps.notes, f"{np.count_nonzero(inside)} of {maps.n_phi} angles"),
    )


def every_angle(maps: TwoTimeMaps, most: int) -> TwoTimeMaps:
    """At most so many angles, spread evenly over those that there are."""
    if maps.n_phi <= most:
        return maps
    chosen = np.zeros(maps.n_phi, bool)
    chosen[np.round(np.linspace(0, maps.n_phi - 1, most)).astype(int)] = True
    return _of_angles(maps, chosen)


def masked_diagonal(maps: TwoTimeMaps, width: int) -> TwoTimeMaps:
    """Points with |i − j| ≤ width do not count.

    Raises:
        InvalidValue: nothing is left.
    """
    if width < 0:
        raise InvalidValue(f"the width of the diagonal is {width}", hint="valid: 0 and above")
    lag = np.abs(np.subtract.outer(np.arange(maps.n_times), np.arange(maps.n_times)))
    said = f"points with |i − j| ≤ {width} are masked"
    return replace(maps, mask=maps.mask & (lag > width), notes=(*maps.notes, said) if width else maps.notes)


def corrected_diagonal(c2: Float[np.ndarray, "... N N"]) -> Float[np.ndarray, "... N N"]:
    """c2 with each point of the diagonal, where a frame meets itself, as the mean of its neighbours beside it.

    The ends have one neighbour. The result is for pictures and averages: the diagonal is never fitted.

    Checked: tests/unit/xpcs/test_xpcs_choosing.py.
    """
    found = np.array(c2, np.float64)
    n = c2.shape[-1]
    beside = found[..., np.arange(n - 1), np.arange(1, n)]
    inner = 0.5 * (beside[..., :-1] + beside[..., 1:])
    at = np.arange(n)
    found[..., at, at] = np.concatenate([beside[..., :1], inner, beside[..., -1:]], axis=-1)
    return found


def block_averaged(maps: TwoTimeMaps, size: int) -> TwoTimeMaps:
    """Means over blocks of size × size points; frames at the end that make no block are left out.

    A block above the diagonal has size² independent points, so its error is σ/size; less where some are masked. Blocks
    on the diagonal do not count. Times are the means of a block's.

    Raises:
        InvalidValue: fewer than 3 blocks.

    Checked: tests/unit/xpcs/test_xpcs_choosing.py against means by hand, and a fit with errors that agree.
    """
    n = maps.n_times // size if size > 0 else 0
    if n < 3:
        raise InvalidValue(f"{maps.n_times} frames make no 3 blocks of {size}", hint=f"valid: 1 to {maps.n_times // 3}")
    if size == 1:
        return maps
    kept = slice(0, n * size)

    def summed(values: np.ndarray) -> np.ndarray:
        return values[:, kept, kept].reshape(maps.n_phi, n, size, n, size).sum(axis=(2, 4))

    counts = summed(maps.mask.astype(np.float64))
    safe = np.maximum(counts, 1.0)
    sigma = np.broadcast_to(maps.sigma if maps.sigma.ndim != 1 else maps.sigma[:, None, None], maps.c2.shape)
    error = np.sqrt(summed(np.where(maps.mask, sigma, 0.0) ** 2)) / safe
    mask = (counts > 0) & ~np.eye(n, dtype=bool)
    full = bool((counts[mask] == size**2).all()) and maps.sigma.ndim < 3
    dropped = maps.n_times - n * size
    said = f"blocks of {size} × {size} points averaged" + (f"; {dropped} frames at the end left out" if dropped else "")
    return replace(
        maps,
        c2=summed(np.where(maps.mask, maps.c2, 0.0)) / safe,
        mask=mask,
        sigma=maps.sigma / size if full else np.where(mask, error, 1.0),
        times_s=maps.times_s[kept].reshape(n, size).mean(axis=1),
        dt_s=maps.dt_s * size,
        notes=(*maps.notes, said),
    )
