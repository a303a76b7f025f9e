"""Files in both layouts of the APS, written with plain h5py: keys shuffled, bins with gaps, maps as upper halves."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from campaign.science import DataFileError, InvalidValue
from campaign_xpcs.data.choosing import masked_diagonal
from campaign_xpcs.data.hdf5 import contents, read_hdf5
from campaign_xpcs.data.maps import TwoTimeMaps, two_time_maps
from campaign_xpcs.data.reading import read_maps
from campaign_xpcs.data.writing import read_npz, write_hdf5, write_npz

N, QS, PHIS = 8, [0.004, 0.006, 0.009], [-90.0, 0.0, 45.0, 90.0]


def map_of(iq: int, iphi: int) -> np.ndarray:
    half = np.random.default_rng([iq, iphi]).random((N, N))
    return 1.0 + 0.1 * (half + half.T)


def stored(full: np.ndarray) -> np.ndarray:
    """The upper half, with the diagonal as it is: full = half + half.T with the diagonal halved."""
    return np.triu(full)


@pytest.fixture
def new(tmp_path):
    """APS-U: bins 1 … 12 without 5 and 6, written in a random order, numbers as int32."""
    path = tmp_path / "new.h5"
    bins = [b for b in range(1, 13) if b not in (5, 6)]
    with h5py.File(path, "w") as file:
        file["xpcs/qmap/dynamic_v_list_dim0"] = QS
        file["xpcs/qmap/dynamic_v_list_dim1"] = PHIS
        file["xpcs/twotime/processed_bins"] = np.array(bins[::-1], np.int32)
        for b in np.random.default_rng(3).permutation(bins):
            file[f"xpcs/twotime/correlation_map/c2_{b:05d}"] = stored(map_of(*divmod(int(b) - 1, 4)))
        file["entry/instrument/detector_1/frame_time"] = 0.01
        file["xpcs/twotime/config/stride_frame"] = np.int32(3)
        file["xpcs/twotime/config/avg_frame"] = np.int32(2)
    return path


def test_each_key_is_its_bin(new):
    for iq, there in enumerate(([0, 1, 2, 3], [2, 3], [0, 1, 2, 3])):
        maps = read_hdf5(new, q=QS[iq])
        assert maps.q == pytest.approx(QS[iq])
        assert maps.phi_deg.tolist() == [PHIS[k] for k in there]
        np.testing.assert_allclose(maps.c2, [map_of(iq, k) for k in there], rtol=1e-15)
    assert contents(new).qs.tolist() == QS


def test_dt_is_frame_time_times_stride_times_average(new):
    assert read_hdf5(new, q_index=0).dt_s == pytest.approx(0.06)
    with pytest.raises(InvalidValue, match=r"the file says 0\.06"):
        read_hdf5(new, q_index=0, dt_s=0.01)


def test_several_q_are_never_mixed(new):
    with pytest.raises(InvalidValue, match="3 q"):
        read_hdf5(new)
    with pytest.raises(InvalidValue, match="not in the file"):
        read_hdf5(new, q=0.0048)
    with pytest.raises(InvalidValue, match="no q number 3"):
        read_hdf5(new, q_index=3)


def test_keys_that_fit_no_bin(new):
    with h5py.File(new, "a") as file:
        file["xpcs/twotime/correlation_map/c2_00099"] = np.zeros((N, N))
    with pytest.raises(DataFileError, match="processed bins"):
        read_hdf5(new, q_index=0)


def test_keys_that_are_positions(new):
    """Written by programs that number maps from 1: the position in processed_bins is meant, and that is said."""
    with h5py.File(new, "a") as file:
        del file["xpcs/twotime/correlation_map"]
        for position, b in enumerate(file["xpcs/twotime/processed_bins"][:], start=1):
            file[f"xpcs/twotime/correlation_map/c2_{position:05d}"] = stored(map_of(*divmod(int(b) - 1, 4)))
    maps = read_hdf5(new, q=QS[1])
    np.testing.assert_allclose(maps.c2, [map_of(1, 2), map_of(1, 3)], rtol=1e-15)
    assert any("positions" in note for note in maps.notes)


@pytest.fixture
def old(tmp_path):
    """APS: lists of q and φ by bin, as rows."""
    path = tmp_path / "old.hdf"
    with h5py.File(path, "w") as file:
        file["xpcs/dqlist"] = [np.repeat(QS, 4)]
        file["xpcs/dphilist"] = [np.tile(PHIS, 3)]
        for b in (12, 2, 9, 10, 1, 11):
            file[f"exchange/C2T_all/g2_{b:05d}"] = stored(map_of(*divmod(b - 1, 4)))
    return path


def test_the_layout_before_the_upgrade(old):
    maps = read_hdf5(old, q=0.009, dt_s=0.5, gap=2e6)
    np.testing.assert_allclose(maps.c2, [map_of(2, k) for k in range(4)], rtol=1e-15)
    assert maps.dt_s == 0.5
    assert read_hdf5(old, q=0.004, dt_s=0.5).phi_deg.tolist() == [-90.0, 0.0]
    with pytest.raises(InvalidValue, match="dt is missing"):
        read_hdf5(old, q=0.009)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(DataFileError, match="cannot be read"):
        read_hdf5(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = 1
    with pytest.raises(DataFileError, match="layout"):
        read_hdf5(tmp_path / "other.h5")


def some(**changes) -> TwoTimeMaps:
    c2 = np.stack([map_of(0, k) for k in range(4)])
    c2[1, 2, 5] = np.nan
    return two_time_maps(c2, **({"phi_deg": PHIS, "q": 0.004, "dt_s": 0.06, "gap": 2e6} | changes))


@pytest.mark.parametrize("sigma", [None, 0.02, [0.1, 0.2, 0.3, 0.4]])
def test_an_archive_comes_back(tmp_path, sigma):
    maps = masked_diagonal(some(sigma=sigma), 1)
    write_npz(tmp_path / "m.npz", maps)
    again = read_npz(tmp_path / "m.npz")
    for name in ("c2", "phi_deg", "times_s", "sigma", "mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(maps, name))
    assert (again.q, again.gap, again.dt_s) == (maps.q, maps.gap, maps.dt_s)
    assert again.sigma_is_default == (sigma is None)


def test_hdf5_comes_back(tmp_path):
    maps = [some(), some(q=0.006)]
    write_hdf5(tmp_path / "m.h5", maps)
    again = read_maps(tmp_path / "m.h5", q=0.006, gap=2e6)
    np.testing.assert_array_equal(again.mask, maps[1].mask)
    np.testing.assert_array_equal(again.c2[again.mask], maps[1].c2[again.mask])
    assert again.dt_s == 0.06


def test_the_q_of_an_archive_is_not_replaced_by_another(tmp_path):
    write_npz(tmp_path / "m.npz", some(q=0.006))
    near = read_maps(tmp_path / "m.npz", q=0.0061)
    assert near.q == 0.0061
    assert "q is 0.0061 1/Å as asked for, and the file says 0.006" in near.notes
    with pytest.raises(InvalidValue, match=r"`m\.npz` has q 0\.006 1/Å, and 0\.02 is asked for"):
        read_maps(tmp_path / "m.npz", q=0.02)
    with np.load(tmp_path / "m.npz") as file:
        np.savez(tmp_path / "two.npz", **{**file, "q": [0.006, 0.012]})
    with pytest.raises(InvalidValue, match=r"has q 0\.006 to 0\.012 1/Å, and 0\.006 is asked for"):
        read_maps(tmp_path / "two.npz", q=0.006)


def test_archives_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "p.npz", c2=np.array([{}], dtype=object), phi=[0.0], q=0.004, dt=0.1)
    with pytest.raises(DataFileError, match="cannot be read"):
        read_npz(tmp_path / "p.npz")


def test_an_archive_of_homodyne(tmp_path):
    t1, t2 = np.meshgrid(np.arange(N) * 0.1, np.arange(N) * 0.1, indexing="ij")
    own = {"c2_exp": [map_of(0, 0)], "phi_angles_list": [0.0], "wavevector_q_list": [0.004], "t1": t1, "t2": t2}
    np.savez(tmp_path / "h.npz", **own)
    assert read_maps(tmp_path / "h.npz", dt_s=0.1).times_s.tolist() == t1[:, 0].tolist()
    with pytest.raises(InvalidValue, match="dt is missing"):
        read_maps(tmp_path / "h.npz")
