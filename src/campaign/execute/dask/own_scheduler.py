"""A Dask scheduler of our own, and a client of it: encrypted, with keys that only this campaign has."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Connection:
    """A scheduler in this process.

    Attributes:
        client: `distributed.Client`.
        scheduler: `distributed.Scheduler`.
        keys: keyword arguments of `distributed.Security` for everybody who may take part; PEM text.
    """

    client: Any
    scheduler: Any
    keys: Mapping[str, Any]


def new_keys() -> dict[str, Any]:
    """Keyword arguments of `distributed.Security`: a fresh key and its certificate, for all roles."""
    from distributed import Security

    security = Security.temporary()
    keys: dict[str, Any] = {"require_encryption": True}
    for role in ("scheduler", "worker", "client"):
        configuration = security.get_tls_config_for_role(role)
        keys["tls_ca_file"] = configuration["ca_file"]
        keys[f"tls_{role}_cert"] = configuration["cert"]
        keys[f"tls_{role}_key"] = configuration["key"]
    return keys


def scheduler_options(
    keys: Mapping[str, Any], *, host: str = "", interface: str = "", dashboard: bool = False
) -> dict[str, Any]:
    """Keyword arguments of `distributed.Scheduler`. No pages unless they are asked for; HTTP stays on the loopback.

    Raises:
        Unavailable: the dashboard is asked for, and cannot be shown.
    """
    from distributed import Security

    from campaign.execute.dask.dashboard import prepare_dashboard

    if dashboard:
        prepare_dashboard()
    where = {"interface": interface} if interface else {"host": host} if host else {}
    return {
        "protocol": "tls://",
        "port": 0,
        "dashboard": dashboard,
        "dashboard_address": "127.0.0.1:0",
        "security": Security(**keys),
        **where,
    }


def start_scheduler(
    stack: contextlib.ExitStack, *, host: str = "", interface: str = "", dashboard: bool = False
) -> Connection:
    """Start a scheduler in a thread of this process and connect to it; `stack` ends both."""
    from distributed import Client, Scheduler, Security, SpecCluster

    from campaign.execute.dask.dashboard import dashboard_place, say_dashboard
    from campaign.execute.dask.settings import LogTail, configure

    configure()
    stack.enter_context(LogTail())
    keys = new_keys()
    security = Security(**keys)
    options = scheduler_options(keys, host=host, interface=interface, dashboard=dashboard)
    scheduler = {"cls": Scheduler, "options": options}
    cluster = stack.enter_context(SpecCluster(workers={}, scheduler=scheduler, security=security))
    client = stack.enter_context(Client(cluster, security=security, set_as_default=False))
    if dashboard:
        say_dashboard(dashboard_place(cluster.scheduler))
    return Connection(client, cluster.scheduler, keys)
