"""Two-time maps from the HDF5 files of the APS, before and after its upgrade, told apart by what is in them.

    APS-U   /xpcs/qmap/dynamic_v_list_dim0 (q), …_dim1 (φ); bin − 1 = iq · n_phi + iφ
            /xpcs/twotime/processed_bins, /xpcs/twotime/correlation_map/c2_00001, …
    APS     /xpcs/dqlist, /xpcs/dphilist: q and φ of each bin; /exchange/C2T_all/g2_00001, …

A map is stored as its upper half. The number in a key says which bin it is of; the order of the keys says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.science import DataFileError, InvalidValue, Unavailable
from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps

if TYPE_CHECKING:
    import h5py

Q_LIST, PHI_LIST = "xpcs/qmap/dynamic_v_list_dim0", "xpcs/qmap/dynamic_v_list_dim1"
BINS, MAPS = "xpcs/twotime/processed_bins", "xpcs/twotime/correlation_map"
OLD_Q, OLD_PHI, OLD_MAPS = "xpcs/dqlist", "xpcs/dphilist", "exchange/C2T_all"
FRAME_TIME = "entry/instrument/detector_1/frame_time"
_CONFIGS = ("xpcs/twotime/config", "xpcs/multitau/config", "xpcs/config")
_SAME_Q = 1e-3  # relative difference of two bins of one q
NEAR_Q = 0.10  # relative difference of the q that is asked for and the one that is taken


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file has, without its maps.

    Attributes:
        layout: "APS-U" or "APS".
        q, phi_deg: of each map that is there [1/Å, degree].
        keys: path of each map.
        dt_s: distance of two frames, where the file says it.
        notes: what was assumed.
    """

    layout: str
    q: np.ndarray
    phi_deg: np.ndarray
    keys: tuple[str, ...]
    dt_s: float | None
    notes: tuple[str, ...]

    @property
    def qs(self) -> np.ndarray:
        """The different q of the file, increasing [1/Å]."""
        found: list[float] = []
        for q in np.sort(self.q).tolist():
            if not found or q - found[-1] > _SAME_Q * q:
                found.append(q)
        return np.array(found)

    def of_q(self, q: float | None, q_index: int | None) -> np.ndarray:
        """Positions of the maps of one q, by increasing angle; never of several.

        Raises:
            InvalidValue: no q within 10 % of the one that is asked for, or none is asked for and there are several.
        """
        there = ", ".join(f"{own:.5g}" for own in self.qs)
        if q is not None and q_index is not None:
            raise InvalidValue("both `q` and `q_index` are given", hint="one of them says which q")
        if q_index is not None:
            if not 0 <= q_index < len(self.qs):
                raise InvalidValue(f"there is no q number {q_index}", hint=f"0 to {len(self.qs) - 1}: {there} 1/Å")
            chosen = float(self.qs[q_index])
        elif q is None:
            if len(self.qs) > 1:
                raise InvalidValue(f"the file has {len(self.qs)} q: {there} 1/Å", hint="say which: `q` or `q_index`")
            chosen = float(self.qs[0])
        else:
            chosen = float(self.qs[np.argmin(np.abs(self.qs - q))])
            if abs(chosen - q) > NEAR_Q * q:
                raise InvalidValue(
                    f"q = {q:g} 1/Å is not in the file; the nearest is {chosen:.5g}", hint=f"there are {there} 1/Å"
                )
        own = np.flatnonzero(np.abs(self.q - chosen) <= _SAME_Q * chosen)
        return own[np.argsort(self.phi_deg[own], kind="stable")]


def contents(path: str | Path) -> Contents:
    """What a file has.

    Raises:
        DataFileError: no HDF5 file, or no layout that is known.
        Unavailable: h5py is not installed.
    """
    with _opened(path) as file:
        return _contents(file, Path(path).name)


def read_hdf5(
    path: str | Path,
    *,
    q: float | None = None,
    q_index: int | None = None,
    dt_s: float | None = None,
    gap: float | None = None,
    sigma: Any = None,
) -> TwoTimeMaps:
    """The maps of one q.

    Args:
        q: the q to take, to 10 % [1/Å], or `q_index`, its number from 0; neither where there is one.
        dt_s: where the file does not say it [s].
        gap: stator to rotor [Å].
        sigma: as in `two_time_maps`.

    Raises:
        DataFileError, InvalidValue, Unavailable: what is missing or contradicts itself.

    Checked: tests/unit/xpcs/test_xpcs_hdf5.py, files in both layouts written with h5py.
    """
    with _opened(path) as file:
        found = _contents(file, Path(path).name)
        own = found.of_q(q, q_index)
        if dt_s is not None and found.dt_s is not None and abs(dt_s - found.dt_s) > 1e-6 * found.dt_s:
            raise InvalidValue(
                f"dt is {dt_s:g} s, and the file says {found.dt_s:g} s (frame time × stride × frames averaged)"
            )
        maps = np.stack([_full(np.asarray(file[found.keys[k]], np.float64), found.keys[k]) for k in own])
    chosen = float(found.q[own].mean())
    return two_time_maps(
        maps,
        phi_deg=found.phi_deg[own],
        q=chosen,
        dt_s=found.dt_s if dt_s is None else dt_s,
        gap=gap,
        sigma=sigma,
        notes=(*found.notes, f"{len(own)} angles at q = {chosen:.5g} 1/Å ({found.layout} layout)"),
    )


def _opened(path: str | Path) -> h5py.File:
    try:
        import h5py
    except ImportError as error:
        raise Unavailable("HDF5 files need h5py", hint="pip install campaign[xpcs]") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataFileError(f"the file `{path}` cannot be read as HDF5: {error}") from error


def _contents(file: h5py.File, name: str) -> Contents:
    if MAPS in file and Q_LIST in file:
        return _new(file, name)
    if OLD_MAPS in file and OLD_Q in file:
        return _old(file, name)
    raise DataFileError(
        f"`{name}` has no two-time maps in a layout that is known",
        hint=f"/{MAPS} with /{Q_LIST} (APS-U), or /{OLD_MAPS} with /{OLD_Q} (APS)",
    )


def _new(file: h5py.File, name: str) -> Contents:
    q_list, phi_list = _numbers(file, Q_LIST, name), _numbers(file, PHI_LIST, name)
    keys = _numbered(file, MAPS, name)
    notes: list[str] = []
    bins = dict.fromkeys(keys)
    if BINS in file:
        processed = [int(b) for b in np.asarray(file[BINS]).ravel()]
        if set(processed) == set(keys):
            bins = {number: number for number in keys}
        elif sorted(keys) == list(range(1, len(processed) + 1)):
            bins = {number: processed[number - 1] for number in keys}
            notes.append("keys are numbered from 1: they are taken as positions in processed_bins")
        else:
            raise DataFileError(
                f"`{name}`: the keys of its maps are {sorted(keys)[:6]} …, its processed bins {processed[:6]} …",
                hint="the number of a key has to be that of its bin",
            )
    else:
        bins = {number: number for number in keys}
        notes.append("no processed_bins: the number of a key is taken as that of its bin")
    numbers = sorted(bins, key=lambda number: bins[number] or 0)
    at = [int(bins[number] or 0) - 1 for number in numbers]
    if min(at) < 0 or max(at) >= len(q_list) * len(phi_list):
        raise DataFileError(
            f"`{name}` has bins {min(at) + 1} to {max(at) + 1}, and {len(q_list)} q × {len(phi_list)} angles"
        )
    dt, said = _frame_period(file)
    return Contents(
        layout="APS-U",
        q=np.array([q_list[k // len(phi_list)] for k in at]),
        phi_deg=np.array([phi_list[k % len(phi_list)] for k in at]),
        keys=tuple(keys[number] for number in numbers),
        dt_s=dt,
        notes=(*notes, *said),
    )


def _old(file: h5py.File, name: str) -> Contents:
    q_list, phi_list = _numbers(file, OLD_Q, name), _numbers(file, OLD_PHI, name)
    keys = _numbered(file, OLD_MAPS, name)
    numbers = sorted(keys)
    if numbers[0] < 1 or numbers[-1] > min(len(q_list), len(phi_list)):
        raise DataFileError(
            f"`{name}` has maps {numbers[0]} to {numbers[-1]}, and {len(q_list)} q and {len(phi_list)} angles of bins"
        )
    at = np.array(numbers) - 1
    return Contents("APS", q_list[at], phi_list[at], tuple(keys[k] for k in numbers), None, ())


def _numbers(file: h5py.File, path: str, name: str) -> np.ndarray:
    if path not in file:
        raise DataFileError(f"`{name}` has no /{path}")
    return np.asarray(file[path], np.float64).ravel()


def _numbered(file: h5py.File, path: str, name: str) -> Mapping[int, str]:
    """The number in each key → its path."""
    found: dict[int, str] = {}
    group: Any = file[path]
    for key in group:
        number = re.search(r"(\d+)$", key)
        if number is None:
            raise DataFileError(f"`{name}`: the key `{key}` in /{path} has no number")
        if int(number[1]) in found:
            raise DataFileError(f"`{name}`: two keys in /{path} have the number {int(number[1])}")
        found[int(number[1])] = f"{path}/{key}"
    if not found:
        raise DataFileError(f"`{name}` has no maps in /{path}")
    return found


def _frame_period(file: h5py.File) -> tuple[float | None, list[str]]:
    if FRAME_TIME not in file:
        return None, []
    dt, said = float(np.asarray(file[FRAME_TIME]).ravel()[0]), []
    for key in ("stride_frame", "avg_frame"):
        path = next((f"{group}/{key}" for group in _CONFIGS if f"{group}/{key}" in file), None)
        if path is None:
            said.append(f"the file does not say {key}: 1 is taken")
        else:
            dt *= float(np.asarray(file[path]).ravel()[0])
    return dt, said


def _full(half: np.ndarray, key: str) -> np.ndarray:
    """A map from its upper half; a file may also hold all of it."""
    if half.ndim != 2 or half.shape[0] != half.shape[1]:
        raise DataFileError(f"/{key} has shape {half.shape}", hint="valid: (N, N)")
    if not np.any(np.tril(half, -1)) or not np.any(np.triu(half, 1)):
        full = half + half.T
        full[np.diag_indices_from(full)] /= 2.0
        return full
    return half
