"""Two-time correlation maps of one q and several angles, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from campaign.science import InvalidValue

DEFAULT_SIGMA = 0.01  # absolute error of a point where none is given, as in homodyne
_UNEVEN = 1e-6  # of dt, by which a time may be off its grid
_UNSYMMETRIC = 1e-9  # relative to the largest |c2|
_SAME_ANGLE = 1e-9  # degrees
_NEAR_Q = 0.05  # relative spread of several q that count as one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoTimeMaps:
    """c2(φ, t1, t2) at one q. Whoever has one has a legal one.

    Attributes:
        c2: (n_phi, N, N), symmetric in the last two axes; anything where `mask` is False.
        phi_deg: (n_phi,) azimuth of each sector [degree], increasing, no two the same modulo 360.
        times_s: (N,), uniform, from 0 or above [s].
        dt_s: distance of two times [s].
        q: wavevector [1/Å].
        gap: distance of stator and rotor [Å]; None where the mode needs none.
        sigma: () or (n_phi,) or the shape of c2: error of a point.
        sigma_is_default: nobody gave an error, so χ² and quality flags mean little.
        mask: shape of c2, True = counts. The diagonal never counts, whatever stands here.
        notes: what was changed, masked or defaulted on the way, in words.

    Raises:
        InvalidValue: names the field, the value seen and what is valid.

    Checked: tests/unit/xpcs/test_xpcs_maps.py.
    """

    c2: Float[np.ndarray, "n_phi N N"]
    phi_deg: Float[np.ndarray, " n_phi"]
    times_s: Float[np.ndarray, " N"]
    dt_s: float
    q: float
    gap: float | None
    sigma: np.ndarray
    sigma_is_default: bool
    mask: Bool[np.ndarray, "n_phi N N"]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_angles(self.phi_deg)
        _check_times(self.times_s, self.dt_s)
        _check_positive("q", self.q, "1/Å")
        if self.gap is not None:
            _check_positive("gap", self.gap, "Å")
        _check_values(self)

    @property
    def n_phi(self) -> int:
        return len(self.phi_deg)

    @property
    def n_times(self) -> int:
        return len(self.times_s)

    @property
    def n_rows(self) -> int:
        """Points above the diagonal, of all angles, masked or not."""
        return self.n_phi * (self.n_times * (self.n_times - 1) // 2)

    @property
    def n_points(self) -> int:
        """Points above the diagonal that count: the independent data."""
        return int(np.count_nonzero(np.triu(self.mask, 1)))

    @property
    def n_masked(self) -> int:
        """Points above the diagonal that do not count."""
        return self.n_rows - self.n_points


def two_time_maps(
    c2: Any,
    *,
    phi_deg: Any,
    q: Any,
    dt_s: float | None,
    times_s: Any = None,
    t1: Any = None,
    t2: Any = None,
    gap: float | None = None,
    sigma: Any = None,
    mask: Any = None,
    diagonal_width: int = 0,
    notes: tuple[str, ...] = (),
) -> TwoTimeMaps:
    """Maps from arrays as people have them.

    Args:
        c2: (n_phi, N, N), or (N, N) of one angle. NaN and infinite points are masked and counted in `notes`.
        phi_deg: (n_phi,) [degree].
        q: wavevector [1/Å], or a list of them that agree to 5 %, of which the mean is taken.
        dt_s: frame period [s]; always needed.
        times_s: (N,) [s]; None is i·dt.
        t1, t2: (N, N) grids with t1[i, j] = t_i and t2[i, j] = t_j, or (N,), in the place of `times_s`.
        gap: stator to rotor [Å].
        sigma: error of a point; None is 0.01, and marked as a default.
        mask: True = counts.
        diagonal_width: points with |i − j| ≤ this do not count.

    Raises:
        InvalidValue: names what is malformed.
    """
    c2 = np.asarray(c2, np.float64)
    c2 = c2[None] if c2.ndim == 2 else c2
    _check_c2_shape(c2.shape)
    said = list(notes)
    if dt_s is None:
        raise InvalidValue("dt is missing", hint="give the frame period in seconds; it is never guessed")
    n = c2.shape[-1]
    times = _one_axis(times_s, t1, t2)
    times = np.arange(n) * float(dt_s) if times is None else times
    mask = np.ones(c2.shape, bool) if mask is None else np.broadcast_to(np.asarray(mask, bool), c2.shape).copy()
    bad = ~np.isfinite(c2)
    bad |= np.swapaxes(bad, -1, -2)
    n_bad = int(np.count_nonzero(np.triu(bad & mask, 1)))
    if n_bad:
        said.append(f"{n_bad} points that are no numbers are masked")
    empty = np.flatnonzero(~np.triu(mask & ~bad, 1).any(axis=(1, 2)))
    if 0 < len(empty) < len(c2):
        said.append(f"the map of angle number {', '.join(map(str, empty))} has no point that counts: leave it out")
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    if diagonal_width:
        said.append(f"points with |i − j| ≤ {diagonal_width} are masked")
    if sigma is None:
        said.append(f"no errors were given: σ = {DEFAULT_SIGMA:g} for every point")
    return TwoTimeMaps(
        c2=c2,
        phi_deg=np.atleast_1d(np.asarray(phi_deg, np.float64)),
        times_s=times,
        dt_s=float(dt_s),
        q=_one_q(q, said),
        gap=None if gap is None else float(gap),
        sigma=np.asarray(DEFAULT_SIGMA if sigma is None else sigma, np.float64),
        sigma_is_default=sigma is None,
        mask=mask & ~bad & (lag > diagonal_width),
        notes=tuple(said),
    )


def _one_q(q: Any, said: list[str]) -> float:
    values = np.atleast_1d(np.asarray(q, np.float64))
    if values.size == 0:
        raise InvalidValue("there is no q", hint="give the wavevector in 1/Å")
    mean = float(values.mean())
    if np.ptp(values) > _NEAR_Q * abs(mean):
        raise InvalidValue(
            f"{values.size} different q were given, {values.min():g} to {values.max():g} 1/Å",
            hint="fit each q alone: a fit that mixes them has no meaning",
        )
    if values.size > 1:
        said.append(f"the mean of {values.size} q within {_NEAR_Q:.0%} was taken")
    return mean


def _one_axis(times_s: Any, t1: Any, t2: Any) -> Float[np.ndarray, " N"] | None:
    """The axis of times from grids."""
    if t1 is None and t2 is None:
        return None if times_s is None else np.asarray(times_s, np.float64)
    if times_s is not None or t1 is None or t2 is None:
        raise InvalidValue("times need `times_s` alone, or `t1` and `t2` together")
    first, second = np.asarray(t1, np.float64), np.asarray(t2, np.float64)
    if first.ndim == 2 and second.ndim == 2:
        if np.ptp(first, axis=1).any() or np.ptp(second, axis=0).any():
            raise InvalidValue(
                "t1 and t2 are swapped: t1 changes along the second axis, or t2 along the first",
                hint='make them with np.meshgrid(t, t, indexing="ij")',
            )
        first, second = first[:, 0], second[0]
    if first.ndim != 1 or first.shape != second.shape or not np.array_equal(first, second):
        raise InvalidValue(f"t1 {np.shape(t1)} and t2 {np.shape(t2)} are not the same times")
    return first


def _check_shapes(maps: TwoTimeMaps) -> None:
    shape = maps.c2.shape
    _check_c2_shape(shape)
    if maps.phi_deg.shape != shape[:1]:
        raise InvalidValue(f"phi_deg has shape {maps.phi_deg.shape} and c2 {shape}", hint="one angle a map")
    if maps.times_s.shape != shape[1:2]:
        raise InvalidValue(f"times_s has shape {maps.times_s.shape} and c2 {shape}", hint="one time a row")
    if maps.sigma.shape not in ((), shape[:1], shape):
        raise InvalidValue(f"sigma has shape {maps.sigma.shape}", hint=f"valid: (), {shape[:1]}, {shape}")
    if maps.mask.shape != shape or maps.mask.dtype != bool:
        raise InvalidValue(f"mask is {maps.mask.dtype} of shape {maps.mask.shape}", hint=f"valid: bool {shape}")


def _check_c2_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] == 0 or shape[1] < 3:
        raise InvalidValue(f"c2 has shape {shape}", hint="valid: (n_phi, N, N) with n_phi ≥ 1 and N ≥ 3")


def _check_angles(phi: np.ndarray) -> None:
    if not np.isfinite(phi).all():
        raise InvalidValue(f"phi_deg has values that are no numbers: {phi.tolist()}")
    turned = np.sort(np.mod(phi, 360.0))
    steps = np.diff(np.append(turned, turned[0] + 360.0))
    if len(phi) > 1 and steps.min() <= _SAME_ANGLE:
        same = turned[int(np.argmin(steps))]
        raise InvalidValue(
            f"phi_deg has the angle {same:g} twice (modulo 360)", hint="average the maps of equal angles first"
        )
    if not (np.diff(phi) > 0).all():
        at = int(np.argmin(np.diff(phi)))
        raise InvalidValue(
            f"phi_deg is not sorted: {phi[at]:g} stands before {phi[at + 1]:g}",
            hint="sort angles and maps together: order = np.argsort(phi)",
        )


def _check_times(times: np.ndarray, dt: float) -> None:
    _check_positive("dt", dt, "s")
    if not np.isfinite(times).all() or times[0] < 0:
        raise InvalidValue(f"times_s has values below 0 or no numbers, from {times[0]:g} s")
    steps = np.diff(times)
    if np.abs(steps - dt).max() > _UNEVEN * dt:
        mean = float(steps.mean())
        if np.abs(steps - mean).max() <= _UNEVEN * abs(mean):
            raise InvalidValue(
                f"dt is {dt:g} s, and the times are {mean:g} s apart",
                hint="dt is the distance of two frames that were correlated: frame time × stride × frames averaged",
            )
        raise InvalidValue(
            f"times_s is not uniform: steps from {steps.min():g} to {steps.max():g} s", hint=f"valid: all {dt:g} s"
        )


def _check_positive(name: str, value: float, unit: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InvalidValue(f"{name} is {value:g} {unit}", hint="valid: a positive number")


def _check_values(maps: TwoTimeMaps) -> None:
    upper = np.triu(maps.mask | np.swapaxes(maps.mask, 1, 2), 1)
    if not np.array_equal(maps.mask, np.swapaxes(maps.mask, 1, 2)):
        raise InvalidValue("mask is not symmetric", hint="(i, j) and (j, i) are the same point")
    if not upper.any():
        raise InvalidValue(
            "no point above the diagonal counts: every one is masked, or no number", hint="is this the right file?"
        )
    here, there = maps.c2[upper], np.swapaxes(maps.c2, 1, 2)[upper]
    if not np.isfinite(here).all():
        raise InvalidValue(
            f"c2 has {np.count_nonzero(~np.isfinite(here))} points that count and are no numbers", hint="mask them"
        )
    off = float(np.abs(here - there).max())
    if not off <= _UNSYMMETRIC * max(float(np.abs(here).max()), 1.0):
        raise InvalidValue(
            f"c2 is not symmetric: |c2(i, j) − c2(j, i)| up to {off:g}",
            hint="half a map: full = half + half.T, with the diagonal halved",
        )
    sigma = maps.sigma if maps.sigma.ndim < 3 else maps.sigma[upper]
    if not (np.isfinite(sigma) & (sigma > 0)).all():
        raise InvalidValue(f"sigma has values of {np.min(sigma):g}", hint="valid: positive numbers; mask other points")
    if maps.sigma.ndim == 3 and not np.array_equal(sigma, np.swapaxes(maps.sigma, 1, 2)[upper]):
        raise InvalidValue("sigma is not symmetric", hint="(i, j) and (j, i) are the same point")
