"""Frames from files: every kind gives the same numbers, and a stack is not read into memory."""

import sys

import numpy as np
import pytest
import zarr

from campaign.errors import DataFileError, InvalidValue, Unavailable
from campaign_optics.data.frames import frames

RNG = np.random.default_rng(0)
CUBE = RNG.normal(100.0, 10.0, (5, 4, 4))
VARIANCE = RNG.uniform(1.0, 2.0, (4, 4))
MASK = np.zeros((5, 4, 4), np.uint8)
MASK[2, 1, 3] = 4


def write(path):
    """The cube in the format of the file's name."""
    if path.suffix == ".npy":
        np.save(path, CUBE)
    elif path.suffix == ".npz":
        save = np.savez_compressed if "small" in path.name else np.savez
        save(path, data=CUBE, variance=VARIANCE, mask=MASK)
    elif path.suffix == ".fits":
        from astropy.io import fits

        hdus = [fits.PrimaryHDU(CUBE), fits.ImageHDU(VARIANCE, name="VAR"), fits.ImageHDU(MASK, name="DQ")]
        fits.HDUList(hdus).writeto(path)
    else:
        with zarr.storage.ZipStore(path, mode="w") as store:
            group = zarr.open_group(store, mode="w")
            for name, own in (("data", CUBE), ("variance", VARIANCE), ("mask", MASK)):
                group.create_array(name, data=own)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "small.npz", "a.fits", "a.zarr.zip"])
def test_every_kind_gives_the_same_frames(tmp_path, name):
    stack = frames(write(tmp_path / name))
    assert len(stack) == 5
    one = stack.frame(2)
    assert np.array_equal(one.electrons, CUBE[2])
    assert one.electrons.dtype == np.float64
    if name != "a.npy":
        assert np.array_equal(one.variance, VARIANCE)
        assert np.argwhere(one.is_left_out).tolist() == [[1, 3]]
        assert not stack.frame(0).is_left_out.any()
    with pytest.raises(InvalidValue, match="no frame 5"):
        stack.frame(5)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_stack_is_mapped_not_read(tmp_path, name):
    assert isinstance(frames(write(tmp_path / name)).arrays["electrons"], np.memmap)


def test_a_table_of_pixels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("row,column,electrons,variance,mask\n0,0,1.5,2,0\n0,1,2.5,2,0\n1,0,3.5,2,1\n")
    one = frames(path).frame(0)
    assert one.electrons[0].tolist() == [1.5, 2.5]
    assert np.isnan(one.electrons[1, 1])
    assert one.is_left_out.tolist() == [[False, False], [True, True]]


def test_the_hash_is_of_the_numbers(tmp_path):
    one, same = (frames(write(tmp_path / name)).frame(1).sha256 for name in ("a.npz", "a.fits"))
    assert one == same
    assert one != frames(tmp_path / "a.npz").frame(2).sha256


def test_a_changed_file_is_opened_again(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, CUBE)
    assert len(frames(path)) == 5
    np.save(path, CUBE[:3])
    assert len(frames(path)) == 3


def test_what_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(DataFileError, match="cannot be read"):
        frames(tmp_path / "none.npz")
    (tmp_path / "a.tiff").write_bytes(b"")
    with pytest.raises(InvalidValue, match=r"no kind of file") as caught:
        frames(tmp_path / "a.tiff")
    assert ".fits" in caught.value.hint
    np.savez(tmp_path / "other.npz", image=CUBE)
    with pytest.raises(InvalidValue, match="no array `data`"):
        frames(tmp_path / "other.npz")
    np.save(tmp_path / "flat.npy", np.ones(3))
    with pytest.raises(InvalidValue, match=r"shape \(3,\)"):
        frames(tmp_path / "flat.npy")
    np.savez(tmp_path / "objects.npz", data=np.array([{}], dtype=object))
    with pytest.raises((InvalidValue, DataFileError), match="objects"):
        frames(tmp_path / "objects.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(DataFileError, match=r"broken\.npz"):
        frames(tmp_path / "broken.npz")
    write(tmp_path / "b.fits")
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(Unavailable, match="astropy is not installed"):
        frames(tmp_path / "b.fits")
