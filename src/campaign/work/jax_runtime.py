"""JAX, set up once a process, before its first use: double precision, compilation cache, the device's name."""

from __future__ import annotations

import gc
import os
import socket
from functools import cache
from pathlib import Path

from campaign.errors import Unavailable
from campaign.float64 import use_float64


def cache_folder() -> Path:
    """Folder of compiled programs: `CAMPAIGN_CACHE`, else the user's cache folder."""
    root = os.environ.get("CAMPAIGN_CACHE")
    if root:
        return Path(root) / "jax"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "campaign" / "jax"


@cache
def start_jax() -> None:
    """Settings that decide what is computed (`use_float64`), and the persistent compilation cache.

    Called before anything computes, and before any code of a user is imported.

    Raises:
        Unavailable: JAX has no device that it can use.
    """
    import jax

    use_float64()
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):  # JAX would warn at every program
            raise PermissionError(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    except OSError:  # a read-only home: compile every time
        pass
    try:
        jax.devices()
    except RuntimeError as error:
        raise Unavailable(f"JAX finds no usable device: {error}", hint="see `campaign doctor`") from error
    gc.freeze()  # what JAX and the plug-ins made stays: the collector need not walk it for every few thousand records
    gc.set_threshold(100_000, 20, 50)


@cache
def device_name() -> str:
    """Platform and kind of the device that computes, as every summary records it."""
    import jax

    device = jax.devices()[0]
    return device.platform if device.platform == "cpu" else f"{device.platform}:{device.device_kind}"


def device_names() -> list[str]:
    """All devices that JAX sees, for people."""
    import jax

    return [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]


@cache
def on_cpu() -> bool:
    import jax

    return jax.devices()[0].platform == "cpu"


@cache
def host_name() -> str:
    return socket.gethostname()


def worker_name() -> str:
    """host:pid of this process."""
    return f"{host_name()}:{os.getpid()}"
