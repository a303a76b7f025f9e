"""Whatever is planned, published, redone, spoilt or looked at, in any order: table and status say what a model says."""

import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import planting as p
from campaign.analysis.status import Watcher, status
from campaign.analysis.verify import verify
from campaign.reduce.reducer import is_current, reduce
from campaign.reduce.schema import comparable
from campaign.store.events import EventLog, EventReader
from campaign.store.failures import failure_signatures
from campaign.store.layout import Layout
from planting import publish_records


class StoreMachine(RuleBasedStateMachine):
    """Model: `failed` per run as last published; `address` of every run as last planned."""

    @initialize(
        n_runs=st.integers(1, 14), n_programs=st.integers(1, 3), size=st.integers(1, 5), interleaved=st.booleans()
    )
    def plan(self, n_runs, n_programs, size, interleaved):
        self.root = Path(tempfile.mkdtemp(prefix="campaign-machine-"))
        self.fit = p.Planting(
            n_runs=n_runs, n_programs=min(n_programs, n_runs), block_size=size, interleaved=interleaved
        )
        self.layout: Layout = p.plant(self.root, self.fit)
        self.rows = self.fit.rows()
        self.blocks = {}
        self.place(self.fit, self.rows)
        self.result = {}  # run id → (is failed, attempt) of the newest published summary
        self.published = set()
        self.part = 0
        self.log = EventLog(self.layout, "far-1-1")
        self.reader = EventReader(self.layout)
        self.watcher = Watcher(self.layout)
        self.n_events = self.n_read = 0

    def place(self, planting, rows):
        for i, row in enumerate(rows):
            if row["part"] == planting.part:
                self.blocks.setdefault((row["part"], row["block"]), []).append((planting, i, row))

    def teardown(self):
        if hasattr(self, "root"):
            self.log.close()
            shutil.rmtree(self.root, ignore_errors=True)

    @rule(data=st.data(), failing=st.integers(0, 2**14), with_event=st.booleans())
    def publish(self, data, failing, with_event):
        address = data.draw(st.sampled_from(sorted(self.blocks)))
        if address in self.published:  # a block that runs twice gives the same
            records = self.records_of[address]
        else:
            runs = sorted(self.blocks[address], key=lambda run: run[2]["row"])
            changes = [p.failed() if failing >> i & 1 else {} for _, i, _ in runs]
            records = [p.record(pl, row, i, **c) for (pl, i, row), c in zip(runs, changes, strict=True)]
            self.__dict__.setdefault("records_of", {})[address] = records
        publish_records(self.layout, "fit", *address, records)
        self.published.add(address)
        for record in records:
            known = self.result.get(record["run_id"], (None, -1))
            if record["attempt"] >= known[1]:
                self.result[record["run_id"]] = (record["status"] == "failed", record["attempt"])
        if with_event:
            n_failed = sum(r["status"] == "failed" for r in records)
            self.log.append(
                "block_published",
                stage="fit",
                part=address[0],
                block=address[1],
                n_ok=len(records) - n_failed,
                n_failed=n_failed,
                failures=failure_signatures(records),
            )
            self.n_events += 1

    @rule()
    def tear_the_journal(self):
        """A writer dies in the middle of a line; its next life goes on."""
        self.log.close()
        self.layout.events.mkdir(exist_ok=True)
        with self.layout.event_log("far-1-1").open("ab") as file:
            file.write(b'{"t":1,"event":"block_pub')
        self.log = EventLog(self.layout, "far-1-1")
        self.log.append("driver_stopped", reason="test")
        self.n_events += 1

    @precondition(lambda self: any(failed for failed, _ in self.result.values()))
    @rule()
    def retry_failed(self):
        again = [i for i, row in enumerate(self.rows) if self.is_done(row) and self.result[row["run_id"]][0]]
        if not again:
            return
        self.part += 1
        new = p.Planting(n_runs=self.fit.n_runs, part=self.part)
        for row, i in enumerate(again):
            self.rows[i] = self.rows[i] | {
                "program": new.program_name(0),
                "part": self.part,
                "block": row // new.block_size,
                "row": row,
                "attempt": self.rows[i]["attempt"] + 1,
            }
        p.write_plan(self.layout, new, self.rows)
        p.declare(self.layout, new)
        self.place(new, self.rows)

    @rule(harm=st.sampled_from([b"", b"nonsense", b'{"from":{},"crc":0}\nrest']), data=st.data())
    def spoil_the_cache(self, harm, data):
        parts = sorted(self.layout.table_parts.rglob("*.arrow"))
        if parts:
            data.draw(st.sampled_from(parts)).write_bytes(harm)

    @rule()
    def lose_the_cache(self):
        shutil.rmtree(self.layout.table_parts, ignore_errors=True)

    def is_done(self, row):
        return (row["part"], row["block"]) in self.published

    @rule()
    def table_says_what_was_published(self):
        report = reduce(self.layout)
        table = pq.read_table(self.layout.table)
        rows = table.to_pylist()
        assert report.damaged == ()
        assert [row["run_id"] for row in rows] == [row["run_id"] for row in self.rows]
        for i, row in enumerate(rows):
            failed, attempt = self.result.get(row["run_id"], (None, 0))
            assert row["status"] == {None: None, True: "failed", False: "ok"}[failed]
            assert row["theta.k"] == (i / 2 if failed is False else None)
            if failed is not None:
                assert row["attempt"] == attempt
        reduce(self.layout)  # again, from the cache
        assert comparable(pq.read_table(self.layout.table)).equals(comparable(table), check_metadata=True)

    @rule()
    def status_says_what_is_done(self):
        n_done = sum(self.is_done(row) for row in self.rows)
        n_failed = sum(self.is_done(row) and self.result[row["run_id"]][0] for row in self.rows)
        for found in (status(self.layout), self.watcher.status()):
            stage = found.stages[0]
            assert (stage.n_runs, stage.n_ok, stage.n_failed) == (len(self.rows), n_done - n_failed, n_failed)
            assert sum(failure.n for failure in found.failures) == n_failed

    @rule()
    def events_come_once(self):
        self.n_read += len(list(self.reader.read()))
        assert self.n_read == self.n_events

    @rule()
    def nothing_is_damaged(self):
        assert [f for f in verify(self.layout) if f.kind != "events"] == []

    @invariant()
    def a_current_table_holds_everything(self):
        if hasattr(self, "layout") and is_current(self.layout):
            done = {r["run_id"] for r in pq.read_table(self.layout.table).to_pylist() if r["status"]}
            assert done == self.result.keys()


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStore = StoreMachine.TestCase
