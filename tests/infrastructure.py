"""Real infrastructure for tests: a SLURM on loopback, MPI, Chromium. A pytest plug-in, loaded by `conftest`.

What is missing is skipped with its reason, unless the environment variable REQUIRE_INFRA (say ``slurm,mpi``) names it:
then it fails. The last line of every run says what really ran.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KINDS = ("slurm", "mpi", "chromium")
SLURM_SCRIPTS = Path(__file__).parents[1] / "slurm"
TESTER = "campaign-tester"  # an ordinary user, with an account of the same name; `.ci/infrastructure` makes it
PORT, PORTS = 17100, 100  # first TCP port of the tests' SLURM; what slurm_up.sh uses at most: the last is PORT + 90

_ran: Counter[str] = Counter()
_skipped: dict[str, str] = {}
_versions: dict[str, str] = {}


def missing(kind: str, reason: str) -> None:
    """Skip the test, or fail it where REQUIRE_INFRA names `kind`."""
    if kind in os.environ.get("REQUIRE_INFRA", "").split(","):
        pytest.fail(f"REQUIRE_INFRA names {kind}, and it is not there: {reason}", pytrace=False)
    pytest.skip(f"{kind}: {reason}")


@dataclass(frozen=True)
class Slurm:
    """A running SLURM of three nodes."""

    folder: Path
    environment: dict[str, str]

    @contextlib.contextmanager
    def limited(self, *what: str) -> Iterator[None]:
        """A limit for the time of a `with`: `limited("user", TESTER, "MaxSubmitJobs=1")`."""
        kind, name, limit = what
        key = limit.rpartition("=")[0]
        self.call("sacctmgr", "-i", "modify", kind, name, "set", limit)
        try:
            yield
        finally:
            self.call("scancel", f"--user={TESTER}", check=False)
            self.call("sacctmgr", "-i", "modify", kind, name, "set", f"{key}=-1")

    def call(self, *command: str, check: bool = True) -> str:
        """Standard output of a client command."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout.strip()

    def up(self) -> None:
        """Start whatever does not run (any more)."""
        _script("slurm_up.sh", self.environment)

    def wait_until_empty(self, seconds: float = 90.0) -> None:
        """Until no job is in the queue."""
        until = time.monotonic() + seconds
        while jobs := self.jobs():
            assert time.monotonic() < until, f"still in the queue: {jobs}"
            time.sleep(0.3)

    def jobs(self) -> list[str]:
        """Ids of jobs in the queue."""
        return self.call("squeue", "-h", "-o", "%i").split()


def _first_port() -> int:
    """Processes that share the tests have a SLURM each."""
    return PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _script(name: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(SLURM_SCRIPTS / name)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """SLURM on loopback; SLURM_CONF is set for this process and its children while it runs."""
    folder = Path(os.environ.get("SLURM_LOOP_DIR") or f"/tmp/campaign-slurm-{os.getpid()}")
    environment = {
        "SLURM_LOOP_DIR": str(folder),
        "SLURM_LOOP_PORT": os.environ.get("SLURM_LOOP_PORT") or str(_first_port()),
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    if _has_accounts():
        environment["SLURM_LOOP_USERS"] = TESTER
    with Path(tempfile.gettempdir(), "campaign-slurm.lock").open("w") as file:  # one after the other: it is slow
        fcntl.flock(file, fcntl.LOCK_EX)
        done = _script("slurm_up.sh", environment)
    if done.returncode == 3:
        missing("slurm", done.stderr.strip().splitlines()[-1])
    if done.returncode:
        pytest.fail(f"SLURM came up broken:\n{done.stderr}", pytrace=False)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
    _versions["slurm"] = _said("sinfo", "--version").removeprefix("slurm-wlm ").removeprefix("slurm ")
    try:
        yield Slurm(folder, environment)
    finally:
        _script("slurm_down.sh", environment | {"SLURM_LOOP_WIPE": "1"})
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


@dataclass(frozen=True)
class Tester:
    """The ordinary user, with a home whose path has a blank and a percent sign, and the shell start-up of a site."""

    home: Path
    environment: dict[str, str]

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "campaign", *(str(a) for a in arguments)]

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command as this user."""
        return subprocess.Popen(
            command, cwd=self.home, env=self.environment | environment, user=TESTER, group=TESTER, extra_groups=[],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user."""
        with self.start(*command, **environment) as process:
            try:
                out, err = process.communicate(timeout=300)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def campaign(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `campaign` as this user."""
        return self.run(*self.command(*arguments), **environment)

    def owns(self, *paths: Path) -> None:
        """Files that the test wrote are this user's."""
        for path in paths:
            shutil.chown(path, TESTER, TESTER)


BASHRC = """
# as /etc/bashrc of many sites; none of it survives `set -u`, nor the last line `set -e`
if [ -z "$BASHRCSOURCED" ]; then BASHRCSOURCED="Y"; fi
[ "$PS1" = "\\s-\\v\\\\$ " ] && PS1="[\\u@\\h \\W]\\\\$ "
[ -n "$SITE_HAS_QUOTA" ] && quota
"""


@pytest.fixture(scope="session")
def tester(slurm: Slurm) -> Iterator[Tester]:
    """The ordinary user of a site."""
    if not _has_accounts():
        missing("slurm", f"accounts need slurmdbd, mariadbd and the user {TESTER} (see .ci/infrastructure)")
    folder = Path(f"/tmp/campaign tests %j {os.getpid()}")
    folder.mkdir()
    shutil.chown(folder, TESTER, TESTER)
    (folder / ".bashrc").write_text(BASHRC)
    kept = {"PATH", "LANG", "LC_ALL", "MPI4PY_LIBMPI"}
    environment = {key: value for key, value in os.environ.items() if key in kept} | slurm.environment
    environment |= {"HOME": str(folder), "USER": TESTER, "LOGNAME": TESTER, "CAMPAIGN_CACHE": str(folder / "cache")}
    found = Tester(folder, environment)
    if found.run(sys.executable, "-c", "import campaign").returncode:
        missing("slurm", f"{TESTER} cannot start {sys.executable} (see .ci/infrastructure)")
    try:
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_accounts() -> bool:
    """Whether the SLURM can have accounts, and there is somebody to have one."""
    try:
        pwd.getpwnam(TESTER)
    except KeyError:
        return False
    return shutil.which("slurmdbd") is not None and shutil.which("mariadbd") is not None


@pytest.fixture(scope="session")
def mpi() -> str:
    """Path of an `mpiexec` that goes with mpi4py."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        missing("mpi", "no mpiexec (pip install mpich mpi4py)")
    code = "from mpi4py import MPI; print(MPI.COMM_WORLD.size)"
    done = subprocess.run(
        [str(found), "-n", "2", sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    if "".join(done.stdout.split()) != "22":  # two ranks may write into one line
        missing("mpi", f"mpiexec -n 2 gave {done.stdout.split()} {done.stderr.strip()[-200:]}")
    code = "from mpi4py import MPI; print(MPI.Get_library_version().split(chr(10))[0])"
    _versions["mpi"] = " ".join(_said(sys.executable, "-c", code).replace("Version:", "").split())
    return str(found)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing("chromium", "not installed (apt-get install -y --no-install-recommends chromium)")
    _versions["chromium"] = _said(str(found), "--version").split("built on")[0].removeprefix("Chromium ").strip()
    return str(found)


def _said(*command: str) -> str:
    """Standard output of a command that asks for a version; "" when it has none."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for kind in KINDS:
        if kind not in report.keywords:
            continue
        if report.when == "call" and not report.skipped:
            _ran[kind] += 1
        elif report.skipped:
            _skipped[kind] = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What a process that shares the tests knows goes to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["versions"] = _versions  # pyright: ignore[reportAttributeAccessIssue]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _versions.update(getattr(node, "workeroutput", {}).get("versions", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    parts = []
    for kind in KINDS:
        if kind in _skipped:
            parts.append(f"{kind}=SKIPPED({_skipped[kind].removeprefix('Skipped: ')})")
        elif kind in _ran:
            version = f", {_versions[kind]}" if _versions.get(kind) else ""
            parts.append(f"{kind}=ran({_ran[kind]}{version})")
        else:
            parts.append(f"{kind}=not asked for")
    terminalreporter.write_line("infra: " + " ".join(parts))
