"""Maps from a file of any kind that is known, cut to what is to be fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from campaign.science import InvalidValue
from campaign_xpcs.data import choosing
from campaign_xpcs.data.hdf5 import read_hdf5
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.scaling import with_far_lag_sigma
from campaign_xpcs.data.writing import read_npz

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")


def read_maps(
    path: str | Path,
    *,
    q: float | None = None,
    q_index: int | None = None,
    dt_s: float | None = None,
    gap: float | None = None,
    sigma: Any = None,
    first_frame: int = 1,
    last_frame: int | None = None,
    phi_ranges: Sequence[Sequence[float]] | None = None,
    diagonal_width: int = 0,
    block_average: int = 1,
) -> TwoTimeMaps:
    """Maps of one q from .h5, .hdf5, .hdf, .nxs or .npz.

    Args:
        q, q_index, dt_s, gap: see `read_hdf5`; of an archive, too, `q` is to 10 % that of the file.
        sigma: of a point; "far-lags" estimates it of each angle; None takes the file's, else the default.
        first_frame, last_frame: from 1, both inclusive.
        phi_ranges: see `choosing.angles`.
        diagonal_width: see `choosing.masked_diagonal`.
        block_average: see `choosing.block_averaged`.

    Raises:
        DataFileError, InvalidValue, Unavailable: what is wrong with the file or the choice.
    """
    path = Path(path)
    estimate: bool = isinstance(sigma, str)
    if estimate and sigma != "far-lags":
        raise InvalidValue(f"sigma is `{sigma}`", hint='valid: a number, "far-lags", null')
    own: Any | Literal[None] = None if estimate else sigma
    suffix = path.suffix.lower()
    if suffix in HDF5:
        maps = read_hdf5(path, q=q, q_index=q_index, dt_s=dt_s, gap=gap, sigma=own)
    elif suffix == ".npz":
        if q_index not in (None, 0):
            raise InvalidValue(f"there is no q number {q_index}", hint="an archive has one q: 0")
        maps = read_npz(path, q=q, dt_s=dt_s, gap=gap, sigma=own)
    else:
        raise InvalidValue(f"`{path.name}` is no kind of file that is known", hint=f"valid: {', '.join(HDF5)}, .npz")
    maps = choosing.frames(maps, first_frame, last_frame)
    if phi_ranges is not None:
        maps = choosing.angles(maps, phi_ranges)
    maps = choosing.masked_diagonal(maps, diagonal_width)
    maps = with_far_lag_sigma(maps) if estimate else maps
    return choosing.block_averaged(maps, block_average)
