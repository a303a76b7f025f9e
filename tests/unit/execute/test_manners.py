"""What people and their folders are spared: Dask's own talk, bytecode beside their files, files that colleagues cannot
append to, a word about libraries where the allocation is too small."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import distributed  # its loggers have handlers of their own from then on
import pytest

from campaign.errors import Unavailable
from campaign.execute.base import Control
from campaign.execute.dask.settings import LogTail
from campaign.execute.mpi.pool import MpiExecutor
from campaign.problem.file import load_file_problem
from campaign.store.events import EventLog
from campaign.store.inventory import walk
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import publish_json


@pytest.mark.parametrize("name", ["distributed", "distributed.client", "distributed.scheduler"])
def test_what_dask_says_of_its_own_troubles_is_kept_for_error_messages(capsys, name):
    assert distributed.__version__
    before = [(logger, list(logger.handlers)) for logger in (logging.getLogger(name), logging.getLogger("distributed"))]
    with LogTail() as tail:
        logging.getLogger(name).error("Couldn't gather 1 keys, rescheduling ('block-main-0-4-5',)")
    assert list(tail.lines) == ["Couldn't gather 1 keys, rescheduling ('block-main-0-4-5',)"]
    assert capsys.readouterr() == ("", "")
    assert [(logger, list(logger.handlers)) for logger, _ in before] == before


def test_colleagues_of_a_group_may_append_where_the_umask_lets_them(tmp_path):
    layout, before = Layout(tmp_path), os.umask(0o002)
    try:
        with EventLog(layout) as events:
            events.append("submitted")
        publish_json(layout.array, {"schema": "x"})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (events.path, layout.array)} == {0o664}


def test_the_import_of_a_problem_file_leaves_no_bytecode_and_bytecode_is_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    layout = Layout(tmp_path)
    file = tmp_path / "inputs" / "ab12" / "decay.py"
    file.parent.mkdir(parents=True)
    file.write_text("def make(x: float = 1.0):\n    return x\n")
    assert load_file_problem(file, "make").name == "decay.py:make"
    assert [path.name for path in file.parent.iterdir()] == ["decay.py"]
    assert sys.dont_write_bytecode is False
    (file.parent / "__pycache__").mkdir()
    (file.parent / "__pycache__" / "decay.cpython-311.pyc").touch()
    assert list(walk(layout)) == [("inputs/ab12/decay.py", False)]


def test_an_allocation_that_is_too_small_for_the_ranks_is_not_the_fault_of_a_library(tmp_path: Path) -> None:
    said = "srun: error: Unable to create step for job 7: More processors requested than permitted"
    launcher = ["sh", "-c", f"echo '{said}' >&2; exit 1", "{n}"]
    with MpiExecutor(workers=2, device="cpu", launcher=launcher) as running, pytest.raises(Unavailable) as caught:
        list(running.run(tmp_path, iter([BlockTask("fit", 0, 0)]), Control()))
    assert "More processors requested" in caught.value.message
    assert "too small for 3 ranks" in caught.value.hint
