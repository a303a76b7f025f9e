"""Drivers come, go, fall silent and wake up in any order: never two that both believe in their lease."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from campaign.errors import Locked
from campaign.store.layout import Layout
from campaign.store.lease import acquire, holder
from campaign.store.records import loads


class LeaseMachine(RuleBasedStateMachine):
    """Model: who holds the lease, and whether it has fallen silent."""

    def __init__(self):
        super().__init__()
        self.layout = Layout(Path(tempfile.mkdtemp(prefix="campaign-lease-")))
        self.leases = []
        self.current = None
        self.is_silent = False

    def teardown(self):
        for lease in self.leases:
            lease.release()
        shutil.rmtree(self.layout.root, ignore_errors=True)

    @rule()
    def come(self):
        if self.current is not None and not self.is_silent:
            with pytest.raises(Locked):
                acquire(self.layout, heartbeat_s=1e6)
        else:
            self.current = acquire(self.layout, heartbeat_s=1e6)
            self.leases.append(self.current)
            self.is_silent = False

    @rule(data=st.data())
    def go(self, data):
        if self.leases:
            lease = data.draw(st.sampled_from(self.leases))
            lease.release()
            if lease is self.current:
                self.current = None
                self.is_silent = False

    @rule()
    def fall_silent(self):
        if self.current is not None:
            stamp = time.time() - 1000
            os.utime(self.layout.lease, (stamp, stamp))
            self.is_silent = True

    @rule(data=st.data())
    def wake_up(self, data):
        if self.leases:
            lease = data.draw(st.sampled_from(self.leases))
            lease.renew()
            if lease is self.current:
                self.is_silent = False

    @rule()
    def die_while_claiming(self):
        """Somebody claimed the right to break the lease, long ago, and never used it."""
        if self.current is not None:
            number = 1 + len(list(self.layout.lease.parent.glob(f"claim-{self.current.token}-*")))
            claim = self.layout.lease_claim(self.current.token, number)
            claim.write_bytes(b"{}")
            stamp = time.time() - 1000
            os.utime(claim, (stamp, stamp))

    @invariant()
    def at_most_one_holds(self):
        held = [lease for lease in self.leases if lease.is_held()]
        assert held == ([] if self.current is None else [self.current])

    @invariant()
    def the_disk_says_so(self):
        seen = holder(self.layout)
        assert (seen is None) == (self.current is None)
        if seen is not None:
            assert seen.token == self.current.token == loads(self.layout.lease.read_bytes())["token"]
            assert seen.is_stale == self.is_silent


LeaseMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLease = LeaseMachine.TestCase
