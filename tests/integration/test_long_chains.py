"""Chains that are cut finely: the same bits, read without their neighbours, and never whole in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zarr
from test_extend import assert_equal_runs, with_steps

import campaign
from campaign.analysis.verify import repair, verify
from campaign.drive.doors import extend, resume, submit
from campaign.store import trace_chunks
from campaign.store.layout import Layout
from long_chain import AT_ONCE, CHAIN_BYTES, PARAMETERS, STEPS, WALKERS

RUN, STEP = 16, 1600  # bytes that chunks aim for: one run of each array, and of theta 10 of its 100 steps


@pytest.fixture(scope="module")
def coarse(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("coarse")
    assert submit(with_steps(folder, 200), folder / "c").state == "done"
    return folder / "c"


@pytest.fixture
def fine(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(trace_chunks, "RUN_BYTES", RUN)
    monkeypatch.setattr(trace_chunks, "STEP_BYTES", STEP)
    assert submit(with_steps(tmp_path / "fine", 200), tmp_path / "fine" / "c").state == "done"
    return tmp_path / "fine" / "c"


def group(directory: Path) -> Path:
    (found,) = (path for path in (directory / "traces.zarr" / "main").iterdir() if path.is_dir())
    return found


opened: list[str] | None = None


def _listen(event: str, arguments: tuple) -> None:
    if opened is not None and event == "open" and isinstance(arguments[0], str | Path):
        opened.append(str(arguments[0]))


sys.addaudithook(_listen)


@contextmanager
def opened_chunks(array: Path) -> Iterator[set[str]]:
    """The chunk files of an array that are opened inside, by their place in its grid."""
    global opened  # an audit hook cannot be taken away
    opened, found = [], set()
    try:
        yield found
    finally:
        found |= {Path(name).relative_to(array / "c").as_posix() for name in opened if name.startswith(f"{array}/c/")}
        opened = None


def test_the_same_bits_whatever_the_chunks(coarse: Path, fine: Path) -> None:
    chunks = [zarr.open_array(group(directory) / "theta", mode="r").chunks for directory in (coarse, fine)]
    assert chunks == [(3, 100, 8, 2), (1, 10, 8, 2)]
    assert zarr.open_array(group(fine) / "loss", mode="r").chunks == (1, 100)
    assert_equal_runs(coarse, fine)
    assert verify(Layout(fine)) == []
    for directory in (coarse, fine):
        assert extend(directory, 400).state == "done"
        assert verify(Layout(directory)) == []
    assert_equal_runs(coarse, fine)


def test_a_lost_chunk_of_one_run_is_seen_and_made_again(fine: Path) -> None:
    lost = group(fine) / "theta" / "c" / "4" / "7" / "0" / "0"
    data = lost.read_bytes()
    lost.unlink()
    findings = verify(Layout(fine))
    assert [f.place for f in findings] == [lost.relative_to(fine).as_posix()]
    lost.write_bytes(data[:-1])
    assert [f.place for f in verify(Layout(fine))] == [lost.relative_to(fine).as_posix()]
    repair(Layout(fine), verify(Layout(fine)))
    assert resume(fine).state == "done"
    assert verify(Layout(fine)) == []
    assert lost.read_bytes() == data


def test_a_covariance_that_one_run_lacks_is_damage(fine: Path) -> None:
    """It is written even where it is nothing but NaN; the runs of a block are 3, 4 and 5."""
    chunks = group(fine) / "covariance" / "c"
    lost = [chunks / str(row) / "0" / "0" for row in (3, 4, 5)]
    for n, path in enumerate(lost):
        path.unlink()
        places = [path.relative_to(fine).as_posix() for path in lost[: n + 1]]
        assert [finding.place for finding in verify(Layout(fine))] == places


def test_a_read_opens_the_chunks_of_its_run_and_its_steps(fine: Path) -> None:
    handle = campaign.open(fine)
    table = handle.table()
    run_id = table.loc[table["row"] == 4, "run_id"].item()
    theta, whole = group(fine) / "theta", np.asarray(zarr.open_array(group(fine) / "theta", mode="r")[4])
    with opened_chunks(theta) as found:
        chain = handle.trace(run_id)["theta"]
    assert found == set()
    with opened_chunks(theta) as found:
        np.testing.assert_array_equal(chain[25:40], whole[25:40])
    assert found == {"4/2/0/0", "4/3/0/0"}
    with opened_chunks(theta) as found:
        pieces = handle.chunks(run_id, "theta")
        np.testing.assert_array_equal(next(pieces), whole[:10])
    assert found == {"4/0/0/0"}
    np.testing.assert_array_equal(np.concatenate([piece.values for piece in pieces]), whole[10:])
    with opened_chunks(theta) as found:
        np.testing.assert_array_equal(np.asarray(chain), whole)
    assert found == {f"4/{k}/0/0" for k in range(10)}
    with pytest.raises(campaign.errors.UnknownName, match="no array `thet`"):
        handle.chunks(run_id, "thet")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell the peak of a process")
def test_a_chain_of_hundreds_of_megabytes_is_never_whole_in_memory(tmp_path: Path) -> None:
    """Written, summed and exported, each with less than a quarter of what the chain of one run would take."""
    program = Path(__file__).parent.parent / "long_chain.py"
    words = [sys.executable, str(program), str(tmp_path / "c"), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    growth = np.diff(found["peaks"])
    assert (growth < CHAIN_BYTES / 4).all(), growth
    np.testing.assert_allclose(found["mean"], (STEPS - 1) / 2 + np.arange(PARAMETERS), rtol=1e-12)
    with zipfile.ZipFile(tmp_path / "out" / "trace.npz").open("theta.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        assert (shape, dtype) == ((STEPS, WALKERS, PARAMETERS), np.dtype("f8"))
        for k in range(0, STEPS, AT_ONCE):
            piece = np.frombuffer(file.read(8 * AT_ONCE * WALKERS * PARAMETERS)).reshape(AT_ONCE, WALKERS, PARAMETERS)
            assert (piece == np.arange(k, k + AT_ONCE)[:, None, None] + np.arange(PARAMETERS)).all()
        assert file.read() == b""
