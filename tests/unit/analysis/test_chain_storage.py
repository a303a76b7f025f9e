"""A chain in a file: round trips, growth, cuts at any byte, damage, and a file of every earlier version."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from campaign.analysis.chain import Chain
from campaign.analysis.chain_storage import MAGIC, ChainStorage
from campaign.errors import DataFileError, InvalidValue

DATA = Path(__file__).parent / "data"


def chain_of(n=7, walkers=4, first=0, **more):
    """samples[t, w] = (t + w/10, −t), log_probs[t, w] = −t − w, accepted = t/100."""
    t, w = first + np.arange(float(n))[:, None], np.arange(float(walkers))[None]
    own = {
        "samples": np.stack([t + w / 10, np.broadcast_to(-t, (n, walkers))], axis=2),
        "log_probs": -t - w,
        "names": ("sensitivity", "Wärme"),
        "units": ("K", ""),
        "accepted": np.broadcast_to(t / 100, (n, walkers)),
        "thin": 10,
        "burn_in": 20,
    }
    return Chain(**own | more)


def assert_same(one, other):
    for name in ("samples", "log_probs", "accepted"):
        np.testing.assert_array_equal(np.asarray(getattr(one, name)[:]), np.asarray(getattr(other, name)[:]))
    for name in ("names", "units", "thin", "burn_in", "n_ensembles", "steps"):
        assert getattr(one, name) == getattr(other, name)


def test_what_is_saved_is_loaded(tmp_path):
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(chain_of(), about={"seed": 3})
    assert_same(storage.load(), chain_of())
    assert storage.about() == {"seed": 3}
    storage.save(chain_of(2))
    assert len(storage.load()) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["chain.bin"]


@pytest.mark.parametrize("accepted", [None, np.linspace(0, 1, 7)])
def test_acceptance_of_all_walkers_together_or_none(tmp_path, accepted):
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(chain_of(accepted=accepted))
    found = storage.load().accepted
    assert found is None if accepted is None else np.array_equal(found, accepted)


def test_numbers_are_a_view_of_the_file(tmp_path):
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(chain_of())
    samples = storage.load().samples
    assert isinstance(samples, np.memmap)
    assert samples.ctypes.data % 8 == 0
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1


def test_appending_is_the_same_as_saving_all(tmp_path):
    storage, whole = ChainStorage(tmp_path / "chain.bin"), ChainStorage(tmp_path / "whole.bin")
    for first in range(0, 9, 3):
        storage.append(chain_of(3, first=first))
    whole.save(chain_of(9))
    assert storage.path.read_bytes() == whole.path.read_bytes()


def test_appending_neither_reads_nor_writes_what_is_there(tmp_path):
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(chain_of(1))
    inode, begin = storage.path.stat().st_ino, storage.path.stat().st_size
    for first in range(1, 200):
        storage.append(chain_of(1, first=first))
    assert storage.path.stat().st_ino == inode
    assert (storage.path.stat().st_size - begin) % 199 == 0
    assert_same(storage.load(), chain_of(200))


def test_a_file_that_is_cut_anywhere_gives_its_whole_frames(tmp_path):
    storage, cut = ChainStorage(tmp_path / "chain.bin"), ChainStorage(tmp_path / "cut.bin")
    storage.save(chain_of(3))
    content = storage.path.read_bytes()
    frame = 8 * (4 * 2 + 4 + 4)
    begin = len(content) - 3 * frame
    for size in range(len(content) + 1):
        cut.path.write_bytes(content[:size])
        if size < begin:
            with pytest.raises(DataFileError, match=r"ends inside its header|no file of a chain"):
                cut.load()
        else:
            assert len(cut.load()) == (size - begin) // frame
    cut.path.write_bytes(content[:-1])
    assert_same(cut.load(), chain_of(2))
    cut.append(chain_of(2, first=2))
    assert_same(cut.load(), chain_of(4))


@pytest.mark.parametrize(
    ("change", "key"), [({"names": ("a", "b")}, "names"), ({"thin": 5}, "thin"), ({"walkers": 5}, "walkers")]
)
def test_another_sampler_is_not_appended(tmp_path, change, key):
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(chain_of())
    with pytest.raises(InvalidValue, match=f"`{key}` of the chain is"):
        storage.append(chain_of(**change))
    assert_same(storage.load(), chain_of())


def test_what_is_no_chain_says_so(tmp_path):
    storage = ChainStorage(tmp_path / "chain.bin")
    with pytest.raises(DataFileError, match="there is no file"):
        storage.load()
    storage.path.write_bytes(b"PK\x03\x04 something else, and longer than a header")
    with pytest.raises(DataFileError, match="is no file of a chain"):
        storage.load()
    storage.save(chain_of())
    content = bytearray(storage.path.read_bytes())
    storage.path.write_bytes(MAGIC + (99).to_bytes(4, "little") + content[12:])
    with pytest.raises(DataFileError, match="version 99 of the format, newer than 1"):
        storage.load()
    content[content.index(b'"thin":10') + 7] = ord("2")
    storage.path.write_bytes(content)
    with pytest.raises(DataFileError, match="its header is damaged"):
        storage.load()


def test_a_file_of_version_1():
    """Written when version 1 was new; what it holds is `chain_of()`."""
    assert_same(ChainStorage(DATA / "chain_v1.bin").load(), chain_of())


def test_four_gigabytes_take_no_memory(tmp_path):
    """A sparse file: 64 walkers of 15 parameters, 2**32 / 8192 rows."""
    walkers, names = 64, tuple(f"p{i}" for i in range(15))
    empty = Chain(samples=np.zeros((0, walkers, 15)), log_probs=np.zeros((0, walkers)), names=names)
    storage = ChainStorage(tmp_path / "chain.bin")
    storage.save(empty)
    with open(storage.path, "r+b") as file:
        file.truncate(storage.path.stat().st_size + 2**32)
    program = """
import sys
from campaign.analysis.chain_storage import ChainStorage
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
chain = ChainStorage(sys.argv[1]).load()
assert chain.samples.shape == (2**32 // 8192, 64, 15)
assert float(chain.samples[-1, 0, 0]) == 0.0
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(storage.path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50e6
