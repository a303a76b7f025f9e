"""What people's code prints while a block is computed goes to its log as well as to where it would have gone."""

from __future__ import annotations

import sys
import threading

import pytest

from campaign.work import output
from campaign.work.output import output_kept


def test_both_streams_are_kept_and_still_go_where_they_went(tmp_path, capsys):
    log = tmp_path / "logs" / "0-0.log"
    with output_kept(log):
        assert not log.exists()  # nothing was printed yet
        print("out")
        print("err", file=sys.stderr)
    print("after")
    assert log.read_text() == "out\nerr\n"
    assert capsys.readouterr() == ("out\nafter\n", "err\n")


def test_what_other_threads_write_to_standard_error_is_not_the_models(tmp_path, capsys):
    log = tmp_path / "0-0.log"
    with output_kept(log):
        other = threading.Thread(target=lambda: print("progress", file=sys.stderr))
        other.start()
        other.join()
        threads_out = threading.Thread(target=lambda: print("model"))
        threads_out.start()
        threads_out.join()
    assert log.read_text() == "model\n"
    assert capsys.readouterr().err == "progress\n"


def test_a_log_has_an_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(output, "MOST", 10)
    log = tmp_path / "0-0.log"
    with output_kept(log):
        print("0123456789abc")
        print("more")
    assert log.read_text() == "0123456789\n… more than 10 characters are not kept\n"
    assert capsys.readouterr().out == "0123456789abc\n… more than 10 characters are not kept\n"


def test_the_streams_come_back_when_the_model_raises(tmp_path):
    before = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="no"), output_kept(tmp_path / "0-0.log"):
        raise ValueError("no")
    assert (sys.stdout, sys.stderr) == before
