"""Maps as files: NumPy archives with everything, and HDF5 in the layout of APS-U."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import DataFileError, InvalidValue, Unavailable
from campaign_xpcs.data import hdf5
from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps

_OTHER_NAMES = {
    "c2": ("c2", "c2_exp"),
    "phi_deg": ("phi_deg", "phi", "phi_angles_list"),
    "times_s": ("times_s", "t"),
    "t1": ("t1",),
    "t2": ("t2",),
    "dt_s": ("dt_s", "dt"),
    "q": ("q", "wavevector_q_list"),
    "gap": ("gap", "L"),
    "sigma": ("sigma",),
    "mask": ("mask",),
}  # argument of `two_time_maps` → names in archives, ours first


def write_npz(path: str | Path, maps: TwoTimeMaps) -> None:
    """A NumPy archive: every field by its name."""
    fields: dict[str, Any] = {
        name: getattr(maps, name) for name in ("c2", "phi_deg", "times_s", "dt_s", "q", "sigma", "mask")
    }
    own: dict[str, Any] = fields | ({} if maps.gap is None else {"gap": maps.gap})
    np.savez_compressed(path, **own, sigma_is_default=maps.sigma_is_default, notes=np.array(maps.notes, dtype=np.str_))


def read_npz(path: str | Path, **changes: Any) -> TwoTimeMaps:
    """Maps from an archive of ours, of homodyne's cache, or with `c2`, `phi`, `t`, `q`, `dt`. Never unpickled.

    Args:
        changes: arguments of `two_time_maps` in the place of what the file says.

    Raises:
        DataFileError: no archive of numbers, or without c2, angles or q.
        InvalidValue: the q of the file is another one than `q`, or there are several of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = {own: next((k for k in keys if k in file), None) for own, keys in _OTHER_NAMES.items()}
            found: dict[str, Any] = {own: file[key] for own, key in names.items() if key is not None}
            is_default = bool(file["sigma_is_default"]) if "sigma_is_default" in file else False
            notes = tuple(str(note) for note in file["notes"]) if "notes" in file else ()
    except FileNotFoundError as error:
        raise DataFileError(f"the file `{path}` was not found") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = "it holds something else, and objects are never unpickled" if "pickle" in str(error) else error
        raise DataFileError(f"the file `{path}` cannot be read as an archive of numbers: {reason}") from error
    notes += _other_q(found.get("q"), changes.get("q"), Path(path).name)
    found |= {name: value for name, value in changes.items() if value is not None}
    missing = [name for name in ("c2", "phi_deg", "q") if name not in found]
    if missing:
        raise DataFileError(f"`{Path(path).name}` has no {' and no '.join(missing)}")
    for name in ("dt_s", "gap"):
        if name in found:
            found[name] = float(found[name])
    if "t1" in found:
        found.pop("times_s", None)
    if is_default and "sigma" not in changes:
        found.pop("sigma", None)
        notes = tuple(note for note in notes if not note.startswith("no errors were given"))
    return two_time_maps(**{"dt_s": None, **found, "notes": notes})


def _other_q(own: Any, asked: float | None, name: str) -> tuple[str, ...]:
    """What is to be said where the q that is asked for is near the file's."""
    if own is None or asked is None:
        return ()
    values = np.atleast_1d(np.asarray(own, np.float64))
    if values.size == 0 or np.allclose(values, asked, rtol=1e-9):
        return ()
    span = f"{values.min():g}" if values.size == 1 else f"{values.min():g} to {values.max():g}"
    if (abs(values - asked) > hdf5.NEAR_Q * asked).any():
        raise InvalidValue(
            f"`{name}` has q {span} 1/Å, and {asked:g} is asked for",
            hint=f"an archive has one q, to {hdf5.NEAR_Q:.0%} the one that is asked for, or its own where none is",
        )
    return (f"q is {asked:g} 1/Å as asked for, and the file says {span}",)


def write_hdf5(path: str | Path, several: list[TwoTimeMaps]) -> None:
    """HDF5 in the layout of APS-U: maps of several q, of the same angles and frames.

    Raises:
        InvalidValue: other angles, times or frame periods among them.
        Unavailable: h5py is not installed.
    """
    first = several[0]
    for own in several[1:]:
        if not (np.array_equal(own.phi_deg, first.phi_deg) and np.array_equal(own.times_s, first.times_s)):
            raise InvalidValue("the maps have different angles or times", hint="write a file of each")
    try:
        import h5py
    except ImportError as error:
        raise Unavailable("HDF5 files need h5py", hint="pip install campaign[xpcs]") from error
    with h5py.File(path, "w") as file:
        file[hdf5.Q_LIST] = [own.q for own in several]
        file[hdf5.PHI_LIST] = first.phi_deg
        file[hdf5.FRAME_TIME] = first.dt_s
        file["xpcs/twotime/config/stride_frame"] = 1
        file["xpcs/twotime/config/avg_frame"] = 1
        file[hdf5.BINS] = np.arange(1, len(several) * first.n_phi + 1)
        for iq, own in enumerate(several):
            for k in range(first.n_phi):
                masked = np.where(own.mask[k] | np.eye(own.n_times, dtype=bool), own.c2[k], np.nan)
                file[f"{hdf5.MAPS}/c2_{iq * first.n_phi + k + 1:05d}"] = np.triu(masked)
