"""What a visitor of a Dask scheduler's HTTP port gets to see."""

from __future__ import annotations

import contextlib
import http.client
import socket

UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "bokeh, none",
}  # fmt: skip


def page_status(port: int, path: str = "/status", host: str = "127.0.0.1", origin: str = "") -> int | None:
    """The HTTP status of a page, of its socket when `origin` names the page that asks; None: nobody listens."""
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=20)) as connection:
        try:
            connection.request(
                "GET", f"{path}/ws" if origin else path, headers=UPGRADE | {"Origin": origin} if origin else {}
            )
            with contextlib.closing(connection.getresponse()) as response:
                return response.status
        except ConnectionRefusedError:
            return None


def other_addresses() -> set[str]:
    """Addresses of this host besides 127.0.0.1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address would be used
        return {"127.0.0.2", probe.getsockname()[0]} - {"127.0.0.1"}
    return {"127.0.0.2"}
