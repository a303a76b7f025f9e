"""Dask's dashboard, for who asks for it: read only, on the loopback of the scheduler's host."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.talk import say

PAGES = ["distributed.http.scheduler.info", "distributed.http.statics"]  # no proxy to workers, no JSON, no metrics
ORIGINS: list[str] = []  # whose pages may open its sockets: none but its own, `localhost` with the same port


def prepare_dashboard() -> None:
    """Let the next scheduler of this process show its pages.

    Raises:
        Unavailable: bokeh, which draws them, is missing or too old.
    """
    import dask

    try:
        importlib.import_module("distributed.dashboard.scheduler")
    except ImportError as error:
        raise Unavailable(
            f"the Dask dashboard cannot be shown: {error}",
            hint="pip install 'bokeh>=3.1' for the Python of the scheduler, or leave the option `dashboard` out",
        ) from error
    dask.config.set(
        {
            "distributed.scheduler.http.routes": PAGES,
            "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin": ORIGINS,
        }
    )
    for name in ("bokeh", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what a visitor does wrong is not news for the driver


def dashboard_place(scheduler: Any) -> str:
    """``host:port`` of a scheduler's dashboard; the port is one of that host's loopback."""
    return f"{socket.gethostname()}:{scheduler.services['dashboard'].port}"


def say_dashboard(place: str) -> None:
    """Tell the user where it is."""
    host, _, port = place.rpartition(":")
    lines = [f"dashboard  http://localhost:{port}/status, on {host} only; anyone with an account there can read it"]
    if host != socket.gethostname() or "SLURM_JOB_ID" in os.environ:  # nobody sits before the log of a job
        lines.append(f"           from elsewhere: ssh -N -L {port}:127.0.0.1:{port} {host}")
    say("\n".join(lines))
