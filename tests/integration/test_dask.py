"""Dask with real processes: receipts, lost workers, draining, failures at the start, what strangers can do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from campaign.errors import CampaignError, Unavailable
from campaign.execute.base import Control, Receipt
from campaign.execute.dask.forked import DaskExecutor
from campaign.execute.dask.running import SchedulerExecutor
from campaign.execute.devices import worker_environments
from campaign.execute.local.auto import AutoExecutor, pays
from campaign.store.events import read_events
from campaign.store.layout import Layout
from campaign.store.stop import DRAIN, request_stop
from dashboard_pages import other_addresses, page_status
from synthetic_blocks import WORK, executions, tasks


def executor(**options) -> DaskExecutor:
    return DaskExecutor(**{"workers": 2, "device": "cpu", "work": WORK} | options)


@pytest.fixture(scope="module")
def two_workers():
    with executor() as running:
        yield running


def collect(running, directory: Path, stage: str, n: int, control: Control | None = None):
    return list(running.run(directory, tasks(stage, n), control or Control()))


def test_every_block_gives_one_receipt_and_runs_once(two_workers, tmp_path):
    receipts = collect(two_workers, tmp_path, "fine", 50)
    assert sorted(r.task.block for r in receipts) == list(range(50))
    assert sum(r.n_ok for r in receipts) == 49 * 50 // 2
    assert {r.state for r in receipts} == {"published"}
    assert len({r.worker for r in receipts}) == 2
    assert [executions(tmp_path, "fine", i) for i in range(50)] == [1] * 50
    assert {r.state for r in collect(two_workers, tmp_path, "fine", 50)} == {"already"}


def test_blocks_whose_worker_is_killed_run_again(two_workers, tmp_path):
    receipts = collect(two_workers, tmp_path, "dies-once", 12)
    assert sorted(r.task.block for r in receipts) == list(range(12))
    assert {r.state for r in receipts} <= {"published", "already"}  # "already": a receipt went down with its worker
    assert len(list(tmp_path.glob("done/*"))) == 12
    assert [executions(tmp_path, "dies-once", i) for i in (0, 5, 10)] == [2, 2, 2]
    lost = [e for e in read_events(Layout(tmp_path)) if e["event"] == "block_lost"]
    assert {0, 5, 10} <= {e["block"] for e in lost}
    assert any("SIGKILL" in e["reason"] for e in lost)


def test_a_block_that_kills_every_worker_is_given_up_with_the_reason(two_workers, tmp_path):
    (receipt,) = collect(two_workers, tmp_path, "dies", 1)
    assert receipt.state == "lost"
    assert "lost 4 times" in receipt.message
    assert "SIGKILL" in receipt.message
    assert executions(tmp_path, "dies", 0) == 4


@pytest.mark.parametrize(
    ("stage", "kind", "text"),
    [("raises", RuntimeError, "the plug-in is broken"), ("exits", CampaignError, "called sys.exit"),
     ("full", Unavailable, "no space left")],
)  # fmt: skip
def test_an_error_of_the_block_itself_reaches_the_driver(two_workers, tmp_path, stage, kind, text):
    with pytest.raises(kind, match=text):
        collect(two_workers, tmp_path, stage, 1)
    assert len(collect(two_workers, tmp_path, "fine", 4)) == 4  # and the workers are still there


def test_a_drain_on_disk_stops_blocks_in_workers(two_workers, tmp_path):
    control = Control()
    layout = Layout(tmp_path)

    def drain():
        while not (tmp_path / "log").exists():
            time.sleep(0.02)
        request_stop(layout, DRAIN, "test")
        control.drain.set()

    threading.Thread(target=drain).start()
    receipts = collect(two_workers, tmp_path, "slow", 30, control)
    assert {r.state for r in receipts} == {"interrupted"}
    assert 2 <= len(receipts) <= 6  # the window, not the plan


def test_a_cancel_returns_without_waiting(two_workers, tmp_path):
    control = Control()
    control.cancel.set()
    assert collect(two_workers, tmp_path, "fine", 5, control) == []


def test_a_worker_told_to_leave_finishes_nothing_new_and_its_block_runs_elsewhere(tmp_path):
    with executor() as running:
        stream = running.run(tmp_path, tasks("fine", 200), Control())
        first = next(stream)
        os.kill(int(first.worker.split(":")[1]), 15)
        receipts = [first, *stream]
    assert Counter(r.state for r in receipts) == {"published": 200}
    assert len({r.worker for r in receipts}) == 2


def test_workers_that_cannot_start_are_an_error_with_the_log(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "distributed.py").write_text("raise RuntimeError('this Dask is broken')\n")
    monkeypatch.setenv("PYTHONPATH", f"{broken}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with executor() as running, pytest.raises(Unavailable, match="this Dask is broken") as caught:
        collect(running, tmp_path, "fine", 4)
    assert caught.value.exit_code == 6


def test_nobody_is_left_when_the_driver_is_killed(tmp_path):
    script = tmp_path / "driver.py"
    script.write_text(
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "from pathlib import Path\nfrom campaign.execute.base import Control\n"
        "from campaign.execute.dask.forked import DaskExecutor\nfrom synthetic_blocks import tasks\n"
        f"with DaskExecutor(workers=2, device='cpu', work={WORK!r}) as running:\n"
        f"    list(running.run(Path({str(tmp_path)!r}), tasks('slow', 50), Control()))\n"
    )
    driver = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: len(list(tmp_path.glob("log/*"))) >= 2)
    pids = {int(line.split(":")[1]) for log in tmp_path.glob("log/*") for line in log.read_text().split()}
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_a_script_without_a_main_guard_starts_workers_once(tmp_path):
    """Worker processes never import the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        f"open({str(tmp_path / 'imported')!r}, 'a').write('x')\n"
        "from pathlib import Path\nfrom campaign.execute.base import Control\n"
        "from campaign.execute.dask.forked import DaskExecutor\nfrom synthetic_blocks import tasks\n"
        f"with DaskExecutor(workers=1, device='cpu', work={WORK!r}) as running:\n"
        f"    print(len(list(running.run(Path({str(tmp_path)!r}), tasks('fine', 3), Control()))))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr
    assert (tmp_path / "imported").read_text() == "x"


def test_a_stranger_on_this_machine_cannot_reach_the_scheduler(two_workers, tmp_path):
    from distributed import Client

    collect(two_workers, tmp_path, "fine", 2)
    address = two_workers._scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises((OSError, TimeoutError)):
        Client(address.replace("tls://", "tcp://"), timeout=2)
    with pytest.raises((OSError, TimeoutError, TypeError)):
        Client(address, timeout=2)  # TLS without the campaign's own key


def test_there_are_no_pages_unless_they_are_asked_for(two_workers, tmp_path):
    collect(two_workers, tmp_path, "fine", 2)
    port = two_workers._scheduler.services["dashboard"].port
    pages = ("/status", "/info/main/workers.html", "/json/counts.json", "/metrics", "/proxy/1/127.0.0.1/")
    assert {page_status(port, page) for page in pages} == {404}
    assert {page_status(port, host=address) for address in other_addresses()} == {None}


def test_a_dashboard_answers_on_the_loopback_alone_and_only_its_own_pages(tmp_path, caplog):
    with executor(workers=1, dashboard=True) as running:
        collect(running, tmp_path, "fine", 2)
        port = running._scheduler.services["dashboard"].port
        assert f"http://localhost:{port}/status" in caplog.text
        assert "ssh" not in caplog.text  # it is here
        assert page_status(port) == 200
        assert page_status(port, "/statics/css/base.css") == 200
        assert {page_status(port, page) for page in ("/proxy/1/127.0.0.1/", "/json/counts.json")} == {404}
        assert {page_status(port, host=address) for address in other_addresses()} == {None}
        assert page_status(port, origin=f"http://localhost:{port}") == 101
        assert page_status(port, origin="http://elsewhere.example") == 403  # a page that lies in wait in a browser
    assert page_status(port) is None


def test_a_dashboard_without_bokeh_is_an_error_with_the_next_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed.dashboard.scheduler", None)
    with executor(workers=1, dashboard=True) as running, pytest.raises(Unavailable, match="dashboard") as caught:
        collect(running, tmp_path, "fine", 2)
    assert "pip install 'bokeh" in caught.value.hint


def test_workers_of_a_scheduler_that_runs_already(two_workers, tmp_path):
    from distributed import Security

    collect(two_workers, tmp_path, "fine", 2)
    address, keys = two_workers._scheduler.address, Security(**two_workers._keys)
    with SchedulerExecutor(address, security=keys, work=WORK) as theirs:
        receipts = collect(theirs, tmp_path / "more", "fine", 0) + collect(theirs, tmp_path, "short", 12)
    assert sorted(r.task.block for r in receipts) == list(range(12))
    assert len(collect(two_workers, tmp_path, "short", 12)) == 12  # it was left as it was found


@pytest.mark.parametrize("address", ["tls://127.0.0.1:9", "/no/such/scheduler.json"])
def test_a_scheduler_that_is_not_there(address):
    with pytest.raises(Unavailable, match=r"no (Dask scheduler answers|scheduler file)") as caught:
        SchedulerExecutor(address, start_s=2).__enter__()
    assert caught.value.exit_code == 6


def test_workers_get_their_threads_and_their_gpu(tmp_path):
    assert [e["CUDA_VISIBLE_DEVICES"] for e in worker_environments(4, gpus=("0", "1"), sharers=2)] == [
        "0",
        "0",
        "1",
        "1",
    ]
    with DaskExecutor(workers=2, gpus=("0", "3"), threads=2, work="synthetic_blocks:environment") as running:
        running.environments = [{k: v for k, v in e.items() if k != "CAMPAIGN_DEVICE"} for e in running.environments]
        receipts = collect(running, tmp_path, "2", 4)
    seen = {r.message for r in receipts}
    assert {m.split("CUDA_VISIBLE_DEVICES=")[1].split()[0] for m in seen} == {"0", "3"}
    assert all("OMP_NUM_THREADS=2 PJRT_NPROC=2" in m for m in seen)


def test_a_cpu_where_a_gpu_was_asked_for_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with (
        executor(workers=1, device="gpu", gpus=("0",)) as running,
        pytest.raises(Unavailable, match="gpu was asked for"),
    ):
        collect(running, tmp_path, "fine", 1)


class Helpers:
    """Stands for workers: notes what it is given."""

    def __init__(self):
        self.given = []
        self.is_entered = False

    def __enter__(self):
        self.is_entered = True
        return self

    def __exit__(self, *exception):
        self.is_entered = False

    def is_ready(self):
        return self.is_entered

    def run(self, directory, tasks, control):
        for task in tasks:
            self.given.append(task.block)
            yield Receipt(task=task, state="published")


@pytest.mark.parametrize(
    ("seconds", "start_s", "here"),
    [
        ([0.2, 0.002], 10.0, 20),  # the first block imported; 18 blocks of 2 ms are not worth workers
        ([0.1, 0.1], 0.8, 2),  # 1.8 s left: workers, after the first block that counts
    ],
)
def test_auto_stays_here_for_little_and_hands_over_for_much(tmp_path, monkeypatch, seconds, start_s, here):
    def run_here(self, directory, tasks, control):
        for task in tasks:
            time.sleep(seconds[min(task.block, 1)])
            yield Receipt(task=task, state="published")

    monkeypatch.setattr("campaign.execute.local.inline.InlineExecutor.run", run_here)
    helpers = Helpers()
    with AutoExecutor(lambda: helpers, n_workers=2, start_s=start_s) as running:
        receipts = list(running.run(tmp_path, tasks("any", 20), Control()))
    assert [r.task.block for r in receipts] == list(range(20))
    assert len(helpers.given) == 20 - here
    assert not helpers.is_entered


def test_workers_pay_where_there_is_enough_left_and_processors_for_them():
    assert not pays(10, 0.1, 2)  # 0.5 s to win, 2.5 s to start
    assert pays(100, 0.1, 2)  # 5 s to win
    assert not pays(100, 0.1, 2, busy=1.6)  # 2 s: this process uses most of both processors
    assert pays(100, 0.1, 16, busy=1.6)
    assert pays(100, 0.1, 2, busy=0.1)  # blocks that wait are waited for side by side
    assert not pays(1000, 1.0, 1)


def test_blocks_drawn_when_the_workers_became_ready_are_theirs(tmp_path, monkeypatch):
    helpers = Helpers()

    def run_here(self, directory, tasks, control):
        for task in tasks:
            time.sleep(0.1)
            if helpers.is_ready():  # drawn, and not begun
                return
            yield Receipt(task=task, state="published")

    monkeypatch.setattr("campaign.execute.local.inline.InlineExecutor.run", run_here)
    with AutoExecutor(lambda: helpers, n_workers=2, start_s=0.5) as running:
        receipts = list(running.run(tmp_path, tasks("any", 20), Control()))
    assert [r.task.block for r in receipts] == list(range(20))
    assert helpers.given[0] < 20


def wait_for(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
