"""The driver's lease: one holder, stale ones broken by exactly one, lost ones noticed."""

import dataclasses
import errno
import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from campaign.errors import Locked, Unavailable
from campaign.store.layout import Layout
from campaign.store.lease import acquire, holder
from campaign.store.owner import this_process
from campaign.store.records import dumps, loads


def write_lease(layout, *, token="other", age_s=0.0, **changes):
    """A lease of another process; by default one on another host, which nobody here can tell to be dead."""
    owner = dataclasses.replace(this_process(), **({"host": "elsewhere", "boot": "x"} | changes))
    layout.lease.parent.mkdir(parents=True, exist_ok=True)
    layout.lease.write_bytes(dumps({"schema": "campaign.lease/1", "token": token, "owner": owner.to_json()}))
    stamp = time.time() - age_s
    os.utime(layout.lease, (stamp, stamp))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_holder_at_a_time(tmp_path):
    layout = Layout(tmp_path)
    with acquire(layout) as lease:
        assert lease.is_held()
        with pytest.raises(Locked, match=f"process {os.getpid()} on .*campaign status") as caught:
            acquire(layout)
        assert caught.value.exit_code == 8
    assert not lease.is_held()
    assert holder(layout) is None
    with acquire(layout) as again:
        assert again.is_held()
    assert sorted(p.name for p in layout.lease.parent.iterdir()) == []


def test_a_live_lease_of_another_host_is_kept(tmp_path):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=30)
    with pytest.raises(Locked, match="elsewhere"):
        acquire(layout, expiry_s=60)
    assert loads(layout.lease.read_bytes())["token"] == "other"
    seen = holder(layout, expiry_s=60)
    assert 30 <= seen.age_s < 45
    assert not seen.is_stale


def test_a_stale_lease_is_broken(tmp_path):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=61)
    with acquire(layout, expiry_s=60) as lease:
        assert loads(layout.lease.read_bytes())["token"] == lease.token
    assert not layout.lease.exists()


def test_the_hosts_clock_plays_no_part(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    write_lease(layout)
    ahead = time.time() + 1e6
    monkeypatch.setattr("time.time", lambda: ahead)
    assert not holder(layout, expiry_s=60).is_stale
    with pytest.raises(Locked):
        acquire(layout, expiry_s=60)


def test_a_dead_process_of_this_host_is_broken_at_once(tmp_path):
    layout = Layout(tmp_path)
    here = this_process()
    if not here.boot:
        pytest.skip("this system does not tell the id of its boot")
    write_lease(layout, host=here.host, boot=here.boot, pid=dead_pid(), ticks=1)
    with acquire(layout, expiry_s=1e6) as lease:
        assert lease.is_held()


def test_a_later_process_with_the_same_pid_is_not_the_holder(tmp_path):
    layout = Layout(tmp_path)
    here = this_process()
    if not here.ticks:
        pytest.skip("this system does not tell when a process started")
    write_lease(layout, host=here.host, boot=here.boot, ticks=here.ticks - 1)
    assert holder(layout).is_stale


def test_an_unreadable_lease_expires_like_any_other(tmp_path):
    layout = Layout(tmp_path)
    layout.lease.parent.mkdir()
    layout.lease.write_bytes(b"")
    with pytest.raises(Locked, match="unknown process"):
        acquire(layout, expiry_s=60)
    stamp = time.time() - 61
    os.utime(layout.lease, (stamp, stamp))
    with acquire(layout, expiry_s=60) as lease:
        assert lease.is_held()


def test_heartbeat_keeps_the_lease_young(tmp_path):
    layout = Layout(tmp_path)
    with acquire(layout, heartbeat_s=0.05):
        os.utime(layout.lease, (1.0, 1.0))
        deadline = time.monotonic() + 10
        while layout.lease.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert layout.lease.stat().st_mtime > 2


def test_the_holder_notices_that_it_lost_the_lease(tmp_path):
    layout = Layout(tmp_path)
    lease = acquire(layout, heartbeat_s=100)
    stamp = time.time() - 100
    os.utime(layout.lease, (stamp, stamp))  # as if this process had been stopped for long
    thief = acquire(layout, expiry_s=60)
    assert not lease.is_held()
    before = layout.lease.stat().st_mtime_ns
    lease.renew()
    assert layout.lease.stat().st_mtime_ns == before
    lease.release()
    assert thief.is_held()
    thief.release()


def test_a_claim_of_somebody_alive_keeps_others_off(tmp_path):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=61)
    layout.lease_claim("other", 1).write_bytes(layout.lease.read_bytes())
    with pytest.raises(Locked):
        acquire(layout, expiry_s=60)


def test_a_claim_whose_maker_died_is_passed(tmp_path):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=61)
    layout.lease_claim("other", 1).write_bytes(layout.lease.read_bytes())
    stamp = time.time() - 61
    os.utime(layout.lease_claim("other", 1), (stamp, stamp))
    with acquire(layout, expiry_s=60) as lease:
        assert lease.is_held()
    assert list(layout.lease.parent.iterdir()) == []


def test_a_lease_renewed_between_look_and_claim_is_kept(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=61)
    from campaign.store import lease as module

    real = module._claim

    def claim_late(*arguments):
        os.utime(layout.lease)  # the holder wakes up just now
        return real(*arguments)

    monkeypatch.setattr(module, "_claim", claim_late)
    with pytest.raises(Locked):
        acquire(layout, expiry_s=60)
    assert loads(layout.lease.read_bytes())["token"] == "other"
    assert not list(layout.lease.parent.glob("claim-*"))


def race(roots, barrier, results):
    for root in roots:
        barrier.wait()
        try:
            lease = acquire(Layout(root), expiry_s=60)
        except Locked:
            results.put((root, None))
        else:
            results.put((root, lease.token))
    barrier.wait()  # nobody leaves, and so nobody dies, before all have tried


@pytest.mark.parametrize("state", ["free", "stale"])
def test_exactly_one_of_many_processes_wins(tmp_path, state):
    context = multiprocessing.get_context("spawn")
    roots = [tmp_path / str(number) for number in range(20)]
    for root in roots:
        root.mkdir()
        if state == "stale":
            write_lease(Layout(root), age_s=61)
    n = 4
    barrier, results = context.Barrier(n), context.Queue()
    processes = [context.Process(target=race, args=(roots, barrier, results)) for _ in range(n)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in range(n * len(roots))]
    for process in processes:
        process.join(timeout=60)
    for root in roots:
        winners = [token for place, token in answers if place == root and token]
        assert len(winners) == 1
        assert loads(Layout(root).lease.read_bytes())["token"] == winners[0]


def test_a_stamp_an_hour_ahead_is_no_sign_of_life(tmp_path):
    layout = Layout(tmp_path)
    write_lease(layout, age_s=-3600)
    with acquire(layout, expiry_s=60) as lease:
        assert lease.is_held()


def test_a_lease_that_could_not_be_written_is_not_left_empty(tmp_path, monkeypatch):
    layout = Layout(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("campaign.store.lease.os.write", full)
        with pytest.raises(Unavailable):
            acquire(layout)
    assert not layout.lease.exists()
    with acquire(layout) as lease:
        assert lease.is_held()
