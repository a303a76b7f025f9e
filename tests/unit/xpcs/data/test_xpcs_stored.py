"""Maps that stay in a file: every kind of file read by slices gives the pairs of the array."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import zarr

from campaign.science import DataFileError, InvalidValue
from campaign_xpcs.data.stored import StoredPairs
from campaign_xpcs.data.stored_maps import stored_hdf5, stored_maps

N_PHI, F = 3, 11
GIVEN = {"phi_deg": [-60.0, 0.0, 70.0], "q": 0.0054, "dt_s": 0.1, "gap": 2e6}
FIRST, SECOND = np.triu_indices(F, 1)


def maps_() -> np.ndarray:
    half = np.random.default_rng(0).random((N_PHI, F, F))
    return half + np.swapaxes(half, 1, 2)


def written(folder, kind: str):
    """(path, keys) of the maps."""
    path, c2 = folder / f"maps.{kind}", maps_()
    if kind == "npy":
        np.save(path, c2)
    elif kind == "zarr":
        zarr.open_array(str(path), mode="w", shape=c2.shape, dtype=c2.dtype, chunks=(1, 4, 5))[:] = c2
    else:
        with h5py.File(path, "w") as file:
            for k in range(N_PHI):
                file[f"c{k}"] = np.triu(c2[k])
        return path, ["c0", "c1", "c2"]
    return path, []


@pytest.mark.parametrize("kind", ["npy", "zarr", "h5"])
def test_any_piece_is_that_of_the_array(tmp_path, kind):
    path, keys = written(tmp_path, kind)
    maps = stored_maps(path, keys=keys, **GIVEN)
    expected = maps_()[:, FIRST, SECOND].ravel()
    assert (maps.pairs.shape, maps.n_rows, maps.n_masked) == ((N_PHI, len(FIRST)), expected.size, 0)
    for start, size in ((0, expected.size), (0, 1), (53, 4), (54, 2), (50, 100), (expected.size - 1, 1), (109, 56)):
        np.testing.assert_array_equal(maps.pairs.read(start, size), expected[start : start + size])
    np.testing.assert_array_equal(maps.loaded().ravel(), expected)


def test_a_window_of_frames_and_every_third(tmp_path):
    path, _ = written(tmp_path, "npy")
    maps = stored_maps(path, first_frame=3, last_frame=9, **GIVEN)
    i, j = np.triu_indices(7, 1)
    np.testing.assert_array_equal(maps.loaded(), maps_()[:, 2:9, 2:9][:, i, j])
    np.testing.assert_allclose(maps.times_s, 0.1 * np.arange(7))
    i, j = np.triu_indices(3, 1)
    np.testing.assert_array_equal(maps.pairs.every(3)[:, i, j], maps_()[:, 2:9:3, 2:9:3][:, i, j])
    with pytest.raises(InvalidValue, match="frames 3 to 12 of 11"):
        stored_maps(path, first_frame=3, last_frame=12, **GIVEN)


def test_points_that_are_no_numbers_are_counted(tmp_path):
    c2 = maps_()
    c2[1, 2, 5] = c2[1, 5, 2] = np.nan
    c2[2, 0, 0] = np.nan  # the diagonal is no datum
    np.save(tmp_path / "maps.npy", c2)
    assert stored_maps(tmp_path / "maps.npy", **GIVEN).n_masked == 1


def test_a_file_of_the_aps_is_read_by_slices(tmp_path):
    from campaign_xpcs.data.hdf5 import read_hdf5
    from campaign_xpcs.data.maps import two_time_maps
    from campaign_xpcs.data.writing import write_hdf5

    write_hdf5(tmp_path / "maps.h5", [two_time_maps(maps_(), **GIVEN)])
    own, whole = stored_hdf5(tmp_path / "maps.h5", gap=2e6), read_hdf5(tmp_path / "maps.h5", gap=2e6)
    np.testing.assert_array_equal(own.loaded(), whole.c2[:, FIRST, SECOND])
    assert (own.q, own.dt_s, own.sigma_is_default) == (whole.q, whole.dt_s, True)
    np.testing.assert_array_equal(own.phi_deg, whole.phi_deg)


def test_what_is_no_maps_is_refused(tmp_path):
    np.save(tmp_path / "line.npy", np.zeros(3))
    with pytest.raises(InvalidValue, match=r"float64 of shape \(3,\)"):
        stored_maps(tmp_path / "line.npy", **GIVEN)
    np.save(tmp_path / "lower.npy", np.tril(maps_()))
    with pytest.raises(DataFileError, match=r"map 0 of `lower\.npy` is 0 above the diagonal"):
        _ = stored_maps(tmp_path / "lower.npy", **GIVEN).n_masked
    with pytest.raises(DataFileError, match="cannot be read"):
        stored_maps(tmp_path / "nothing.npy", **GIVEN)
    path, _ = written(tmp_path, "npy")
    with pytest.raises(InvalidValue, match="one of each angle"):
        stored_maps(path, sigma=np.full((N_PHI, 3, 3), 0.1), **GIVEN)
    data = path.read_bytes()
    path.write_bytes(data[: -16 * F])
    torn = StoredPairs(str(path), (), N_PHI, F)
    with pytest.raises(DataFileError, match="the file ends in frame"):
        torn.read(0, N_PHI * len(FIRST))
