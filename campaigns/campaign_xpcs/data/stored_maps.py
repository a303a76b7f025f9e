"""Two-time maps that stay in a file, with what must be known of them: angles, times, q, errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign.science import DataFileError, InvalidValue
from campaign_xpcs.data.hdf5 import contents
from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps
from campaign_xpcs.data.stored import StoredPairs, stored_shape

COARSE = 100  # frames, at most twice as many, of the maps that a start is taken from


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredMaps:
    """c2(φ, t1, t2) at one q, in a file. As `TwoTimeMaps`, but that errors are one of each angle.

    Points that are no numbers are masked; their number is known after one pass over the file, which `n_masked` makes.

    Attributes:
        pairs: where c2 is.
        phi_deg: (n_phi,) [degree]; times_s: (N,) [s]; dt_s [s]; q [1/Å]; gap [Å].
        sigma: () or (n_phi,).
        sigma_is_default: nobody gave an error.
        notes: what was assumed.

    Raises:
        InvalidValue: as `TwoTimeMaps` does.

    Checked: tests/unit/xpcs/data/test_xpcs_stored.py.
    """

    pairs: StoredPairs
    phi_deg: Float[np.ndarray, " n_phi"]
    times_s: Float[np.ndarray, " N"]
    dt_s: float
    q: float
    gap: float | None
    sigma: np.ndarray
    sigma_is_default: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sigma.shape not in ((), (self.n_phi,)):
            raise InvalidValue(
                f"sigma has shape {self.sigma.shape}", hint=f"maps in a file: () or {(self.n_phi,)}, one of each angle"
            )

    @property
    def n_phi(self) -> int:
        return self.pairs.n_phi

    @property
    def n_times(self) -> int:
        return self.pairs.n_times

    @property
    def n_rows(self) -> int:
        """Points above the diagonal, of all angles, masked or not."""
        return math.prod(self.pairs.shape)

    @cached_property
    def n_masked(self) -> int:
        """Points above the diagonal that are no numbers; reads the file once, by slices.

        Raises:
            DataFileError: a map that is 0 above the diagonal: a lower half.
        """
        masked, is_empty = 0, np.ones(self.n_phi, bool)
        for k, values in self.pairs.stretches():
            masked += int(np.count_nonzero(~np.isfinite(values)))
            is_empty[k] &= not values.any()
        if is_empty.any():
            raise DataFileError(
                f"map {int(np.argmax(is_empty))} of `{Path(self.pairs.path).name}` is 0 above the diagonal",
                hint="maps in a file are whole, or upper halves",
            )
        return masked

    @cached_property
    def coarse(self) -> TwoTimeMaps:
        """Every s-th frame, for starts: 100 to 200 frames."""
        step = max(1, self.n_times // COARSE)
        half = self.pairs.every(step)
        c2 = half + np.swapaxes(half, 1, 2)
        return two_time_maps(
            c2, phi_deg=self.phi_deg, q=self.q, dt_s=step * self.dt_s, gap=self.gap, sigma=self.sigma, diagonal_width=0
        )

    def loaded(self) -> Float[np.ndarray, "n_phi m"]:
        """All pairs."""
        return self.pairs.read(0, self.n_rows).reshape(self.pairs.shape)


def stored_maps(
    path: str | Path,
    *,
    phi_deg: Any,
    q: float,
    dt_s: float,
    gap: float | None = None,
    sigma: Any = None,
    keys: Sequence[str] = (),
    first_frame: int = 1,
    last_frame: int | None = None,
    notes: tuple[str, ...] = (),
) -> StoredMaps:
    """Maps of an .npy file or a Zarr array, (n_phi, N, N), or of datasets of an HDF5 file, which stay there.

    Args:
        phi_deg: (n_phi,) [degree], increasing. q: [1/Å]. dt_s: [s]. gap: [Å].
        sigma: a number, or one an angle; None: 0.01, marked as a default.
        keys: of HDF5: the dataset of each angle.
        first_frame, last_frame: from 1, both inclusive.

    Raises:
        DataFileError, InvalidValue, Unavailable: what is wrong with the file or the numbers.
    """
    n_phi, n_frames = stored_shape(str(path), tuple(keys))
    last = n_frames if last_frame is None else last_frame
    if not (first_frame >= 1 and first_frame + 2 <= last <= n_frames):
        raise InvalidValue(
            f"frames {first_frame} to {last} of {n_frames}", hint="valid: 1 ≤ first, last ≤ N, at least 3 frames"
        )
    n = last - first_frame + 1
    known = two_time_maps(  # checks angles, q, dt, gap and sigma
        np.ones((n_phi, 3, 3)), phi_deg=phi_deg, q=q, dt_s=dt_s, gap=gap, sigma=sigma
    )
    return StoredMaps(
        pairs=StoredPairs(str(path), tuple(keys), n_phi, n, first_frame - 1),
        phi_deg=known.phi_deg,
        times_s=np.arange(n) * known.dt_s,
        dt_s=known.dt_s,
        q=known.q,
        gap=known.gap,
        sigma=known.sigma,
        sigma_is_default=known.sigma_is_default,
        notes=(*notes, *known.notes),
    )


def stored_hdf5(
    path: str | Path,
    *,
    q: float | None = None,
    q_index: int | None = None,
    dt_s: float | None = None,
    **given: Any,
) -> StoredMaps:
    """The maps of one q of a file of the APS, which stay there. Arguments as of `read_hdf5` and `stored_maps`."""
    found = contents(path)
    own = found.of_q(q, q_index)
    if dt_s is not None and found.dt_s is not None and abs(dt_s - found.dt_s) > 1e-6 * found.dt_s:
        raise InvalidValue(f"dt is {dt_s:g} s, and the file says {found.dt_s:g} s")
    period = found.dt_s if dt_s is None else dt_s
    if period is None:
        raise InvalidValue("dt is missing", hint="give the frame period in seconds; it is never guessed")
    chosen = float(found.q[own].mean())
    maps = stored_maps(
        path, phi_deg=found.phi_deg[own], q=chosen, dt_s=period, keys=[found.keys[k] for k in own], **given
    )
    said = (*found.notes, f"{len(own)} angles at q = {chosen:.5g} 1/Å ({found.layout} layout), read by slices")
    return replace(maps, notes=(*said, *maps.notes))
