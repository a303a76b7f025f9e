"""Dask's dashboard: where it may be asked for, and how to reach it."""

from __future__ import annotations

import socket

import pytest

from campaign.errors import InvalidValue
from campaign.execute.catalogue import make_executor
from campaign.execute.dask.dashboard import say_dashboard
from campaign.manifest.model import Execution


def test_a_dashboard_is_a_yes_or_no_of_a_scheduler_of_our_own():
    with pytest.raises(InvalidValue, match=r"/execution/options/dashboard.*boolean.*'yes'"):
        make_executor(Execution(executor="dask-slurm", profile="loopback", options={"dashboard": "yes"}))
    with pytest.raises(InvalidValue, match="beside /execution/address"):
        make_executor(Execution(executor="dask", address="tcp://a:1", options={"dashboard": True}))


@pytest.mark.parametrize(("host", "job"), [("node7", ""), (socket.gethostname(), "12")], ids=["elsewhere", "in-a-job"])
def test_a_dashboard_on_another_host_comes_with_the_way_to_it(caplog, monkeypatch, host, job):
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    say_dashboard(f"{host}:4711")
    assert "http://localhost:4711/status" in caplog.text
    assert f"ssh -N -L 4711:127.0.0.1:4711 {host}" in caplog.text
