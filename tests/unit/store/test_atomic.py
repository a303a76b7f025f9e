"""Publishing: the old bytes or the new ones, and nothing left behind."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time

import pytest

from campaign.errors import Unavailable
from campaign.store import atomic
from campaign.store.atomic import is_temporary, publish_bytes, publish_many, publishing, temporary_name


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_replaced_whole(tmp_path):
    publish_bytes(tmp_path / "a" / "file", b"old")
    publish_bytes(tmp_path / "a" / "file", b"new and longer")
    assert (tmp_path / "a" / "file").read_bytes() == b"new and longer"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("durable", [True, False])
def test_of_files_published_together_none_appears_when_one_cannot_be_written(tmp_path, durable):
    """The large ones are still being written when the first has failed."""
    (tmp_path / "file").write_text("no folder")
    items = [(tmp_path / "file" / "x", b""), *((tmp_path / "d" / str(i), bytes(8_000_000)) for i in range(8))]
    with pytest.raises(NotADirectoryError):
        publish_many(items, durable=durable)
    time.sleep(0.3)
    assert names(tmp_path) == ["file"]


def test_a_large_file_appears_at_the_end_or_never(tmp_path):
    path = tmp_path / "table"
    with publishing(path) as temporary:
        temporary.write_bytes(b"rows")
        assert not path.exists()
    assert path.read_bytes() == b"rows"
    with pytest.raises(ZeroDivisionError), publishing(path) as temporary:
        temporary.write_bytes(b"half of the" * (1 // 0))
    assert path.read_bytes() == b"rows"
    assert names(tmp_path) == ["table"]


def test_temporary_names_are_hidden_known_and_never_the_same(tmp_path):
    first, second = temporary_name(tmp_path / "a"), temporary_name(tmp_path / "a")
    assert first != second
    assert is_temporary(first.name)
    assert first.name.startswith(".a.")
    assert first.parent == tmp_path
    assert not is_temporary("a.tmp")


FORKED = """
import os, sys
from pathlib import Path
from campaign.store.atomic import publish_many
folder = Path(sys.argv[1])
publish_many((folder / str(i), b"parent") for i in range(3))
child = os.fork()
publish_many((folder / f"{child == 0}-{i}", b"either") for i in range(3))
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_has_threads_of_its_own(tmp_path):
    """In a process without JAX, which warns of forks."""
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=True, timeout=60)
    assert names(tmp_path) == ["0", "1", "2", *(f"{who}-{i}" for who in (False, True) for i in range(3))]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, call, full)
    with pytest.raises(Unavailable, match=re.escape(f"no space left where {tmp_path / 'a.json'} is written")):
        atomic.publish_bytes(tmp_path / "a.json", b"1")
    assert list(tmp_path.iterdir()) == []
