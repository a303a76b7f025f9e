"""What `campaign doctor` looks at. Each check returns findings: ok, warn or fail, and what to do."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL = "ok", "warn", "fail"
PACKAGES = ("jax", "jaxlib", "equinox", "numpy", "scipy", "zarr", "pyarrow", "pandas", "dask", "distributed", "mpi4py")
_SLOW_SYNC_MS = 50.0  # an fsync slower than this dominates small blocks
_SCARCE_BYTES = 5e9
_SCARCE_FILES = 100_000
_REMOTE = frozenset({"nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "fuse.sshfs", "9p", "afs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's answer."""

    check: str
    level: str
    message: str
    fix: str | None = None


def python() -> Iterator[Finding]:
    """Interpreter and the versions of what does the work, read without importing it."""
    yield Finding(check="python", level=OK, message=f"{platform.python_version()}, {sys.executable}")
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding(check="packages", level=OK, message=", ".join(found))
    if missing:
        fix = f"pip install {' '.join(missing)}"
        yield Finding(check="packages", level=FAIL, message=f"not installed: {', '.join(missing)}", fix=fix)


def devices() -> Iterator[Finding]:
    """What JAX computes on, in double precision."""
    from campaign.errors import Unavailable
    from campaign.work.jax_runtime import cache_folder, device_names, on_cpu, start_jax

    try:
        start_jax()
        yield Finding(check="devices", level=OK, message=f"{', '.join(device_names())}; {os.cpu_count()} CPU cores")
    except (Unavailable, ImportError) as error:
        fix = "unset JAX_PLATFORMS, or install the JAX for this machine"
        yield Finding(check="devices", level=FAIL, message=str(error), fix=fix)
        return
    if shutil.which("nvidia-smi") and on_cpu():
        message = "an NVIDIA driver is here, and JAX does not use it"
        yield Finding(check="devices", level=WARN, message=message, fix="pip install 'campaign[gpu]'")
    folder = cache_folder()
    if os.access(folder, os.W_OK):
        yield Finding(check="compilation cache", level=OK, message=str(folder))
    else:
        fix = "set CAMPAIGN_CACHE to a folder that can be written"
        yield Finding(check="compilation cache", level=WARN, message=f"{folder} cannot be written", fix=fix)


def file_system(folder: Path) -> Iterator[Finding]:
    """Whether a campaign may live in a folder: rename over a file, O_EXCL, fsync, room."""
    name = "file system"
    probe = _nearest_existing(folder) / f".campaign-doctor-{uuid.uuid4().hex}"
    try:
        probe.mkdir()
    except OSError as error:
        message = f"{probe.parent} cannot be written: {error.strerror}"
        yield Finding(check=name, level=FAIL, message=message, fix="choose another folder with -d")
        return
    try:
        yield from _operations(probe)
    except OSError as error:
        message = f"{probe.parent}: {error.strerror}"
        yield Finding(check=name, level=FAIL, message=message, fix="choose another file system for campaigns")
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    kind = _mount_type(probe.parent)
    if kind in _REMOTE:
        message = f"{probe.parent} is {kind}: shared between machines, slow with many small files"
        yield Finding(check=name, level=WARN, message=message, fix='write "layout": "packed" under `execution`')
    yield from _room(probe.parent)


def _operations(probe: Path) -> Iterator[Finding]:
    from campaign.store.atomic import publish_bytes

    target = probe / "target"
    publish_bytes(target, b"old")
    begun = time.perf_counter()
    for _ in range(5):
        publish_bytes(target, b"new")
    milliseconds = (time.perf_counter() - begun) * 200
    if target.read_bytes() != b"new" or len(list(probe.iterdir())) != 1:
        yield Finding(check="rename", level=FAIL, message="a rename does not replace", fix="use another file system")
    else:
        yield Finding(check="rename", level=OK, message="replaces a file at once")
    level = OK if milliseconds < _SLOW_SYNC_MS else WARN
    fix = None if level == OK else "larger blocks (`block`) make fewer of them"
    yield Finding(check="fsync", level=level, message=f"{milliseconds:.1f} ms a published file", fix=fix)
    os.close(os.open(probe / "lease", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.close(os.open(probe / "lease", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        yield Finding(check="exclusive creation", level=OK, message="O_EXCL lets one of two through")
    else:
        message = "O_EXCL lets two through: two drivers could run one campaign"
        yield Finding(check="exclusive creation", level=FAIL, message=message, fix="use another file system")
    yield _file_lock(probe)
    yield _clock(probe)


def _file_lock(probe: Path) -> Finding:
    """Campaigns need no file locks; the store of defaults, which several campaigns share, does."""
    import fcntl

    try:
        with (probe / "lock").open("w") as first, (probe / "lock").open("w") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Finding(check="file locks", level=OK, message="flock keeps a second one out")
    except OSError as error:
        seen = f"flock: {error.strerror}"
    else:
        seen = "flock lets two in"
    fix = "campaigns work without; set CAMPAIGN_DEFAULTS to a folder on another file system if you publish defaults"
    return Finding(check="file locks", level=WARN, message=seen, fix=fix)


def _clock(probe: Path) -> Finding:
    """Leases compare stamps of the file system with each other only; a wrong clock still confuses people."""
    (probe / "stamp").touch()
    drift = abs((probe / "stamp").stat().st_mtime - time.time())
    if drift < 5.0:
        return Finding(check="clock", level=OK, message="file system and host agree")
    fix = "harmless to campaigns; ask the administrator for time synchronisation"
    return Finding(check="clock", level=WARN, message=f"file system and host differ by {drift:.0f} s", fix=fix)


def _room(folder: Path) -> Iterator[Finding]:
    from campaign.cli.numbers import count, size

    status = os.statvfs(folder)
    free, files = status.f_bavail * status.f_frsize, status.f_favail
    is_scarce = free < _SCARCE_BYTES or 0 < files < _SCARCE_FILES
    text = f"{size(free)} free" + (f", {count(files)} files free" if files else "")
    fix = "free space, or choose another folder with -d" if is_scarce else None
    yield Finding(check="room", level=WARN if is_scarce else OK, message=text, fix=fix)


def data_files() -> Iterator[Finding]:
    """The folders in which data files are looked for by name."""
    from campaign import data

    roots = data.roots()
    if roots:
        yield Finding(check="data folders", level=OK, message=", ".join(str(root) for root in roots))
    else:
        fix = "set CAMPAIGN_DATA to a folder that holds them, where a problem needs data files"
        yield Finding(check="data folders", level=WARN, message="none", fix=fix)


def plugins() -> Iterator[Finding]:
    """Whether every registered problem and engine can be described."""
    from campaign.errors import CampaignError
    from campaign.registry import ENGINES, PROBLEMS, load, names

    for group in (PROBLEMS, ENGINES):
        kind, good = group.rsplit(".", 1)[-1], []
        for name in names(group):
            try:
                load(group, name)
                good.append(name)
            except CampaignError as error:
                yield Finding(check=kind, level=WARN, message=error.message, fix=error.hint)
        yield Finding(check=kind, level=OK if good else FAIL, message=", ".join(good) or "none", fix=None)


def ports() -> Iterator[Finding]:
    """Whether processes may talk to each other, on this machine and under its name, as workers of other nodes do."""
    yield _connection("127.0.0.1", "loopback", FAIL, "use --executor inline")
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        fix = f"add `127.0.0.1 {name}` to /etc/hosts; on a cluster name the network in the profile: `interface`"
        yield Finding(check="host name", level=WARN, message=f"`{name}` has no address", fix=fix)
        return
    fix = "only jobs on other nodes need it; name the network between nodes in the profile: `interface`"
    yield _connection(address, "host name", WARN, fix)


def _connection(address: str, check: str, level: str, fix: str) -> Finding:
    with contextlib.closing(socket.socket()) as listener, contextlib.closing(socket.socket()) as caller:
        try:
            listener.bind((address, 0))
            listener.listen(1)
            caller.settimeout(5.0)
            caller.connect(listener.getsockname())
        except OSError as error:
            return Finding(check=check, level=level, message=f"no connection to {address}: {error}", fix=fix)
    return Finding(check=check, level=OK, message=f"processes can connect to {address}")


def cluster() -> Iterator[Finding]:
    """What the cluster executors need. Nothing of it is needed on one machine."""
    from campaign.execute.queue.checks import check_mpi, check_profiles, check_slurm

    for check in (check_slurm, check_mpi, check_profiles):
        for found in check():
            level = WARN if found.level == FAIL else found.level  # it is needed there only, and this may not be there
            yield Finding(check=found.name, level=level, message=found.message, fix=found.fix)


def _nearest_existing(folder: Path) -> Path:
    path = folder.resolve()
    while not path.is_dir():
        path = path.parent
    return path


def _mount_type(path: Path) -> str:
    """File-system type of the longest mount point above a path; "" where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(above)[1] if above else ""
