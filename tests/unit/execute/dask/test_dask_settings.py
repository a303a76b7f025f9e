"""Dask's own talk is kept for error messages."""

from __future__ import annotations

import logging

import distributed  # its loggers have handlers of their own from then on
import pytest

from campaign.execute.dask.settings import LogTail


@pytest.mark.parametrize("name", ["distributed", "distributed.client", "distributed.scheduler"])
def test_what_dask_says_of_its_own_troubles_is_kept_for_error_messages(capsys, name):
    assert distributed.__version__
    before = [(logger, list(logger.handlers)) for logger in (logging.getLogger(name), logging.getLogger("distributed"))]
    with LogTail() as tail:
        logging.getLogger(name).error("Couldn't gather 1 keys, rescheduling ('block-main-0-4-5',)")
    assert list(tail.lines) == ["Couldn't gather 1 keys, rescheduling ('block-main-0-4-5',)"]
    assert capsys.readouterr() == ("", "")
    assert [(logger, list(logger.handlers)) for logger, _ in before] == before
