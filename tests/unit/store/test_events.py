"""Journals: whole lines in, whole lines out, each once."""

from __future__ import annotations

import os
import threading

from campaign.store.events import EventLog, EventReader, read_events
from campaign.store.layout import Layout
from campaign.store.owner import this_process
from campaign.store.records import publish_json


def test_read_gives_back_what_was_appended(tmp_path):
    layout = Layout(tmp_path)
    with EventLog(layout, "a") as log:
        log.append("block_started", stage="fit", part=0, block=3)
        log.append("reduced", n_rows=7, durable=True)
    assert layout.event_log("a").read_bytes().count(b"\n") == 2
    events = [event for _, event in EventReader(layout).read()]
    assert [e["event"] for e in events] == ["block_started", "reduced"]
    assert events[0]["block"] == 3
    assert events[1]["n_rows"] == 7
    assert events[0]["t"] <= events[1]["t"]


def test_no_journals_at_all(tmp_path):
    assert list(EventReader(Layout(tmp_path)).read()) == []


def test_reader_gives_only_what_is_new(tmp_path):
    layout = Layout(tmp_path)
    reader = EventReader(layout)
    one, two = EventLog(layout, "one"), EventLog(layout, "two")
    one.append("a")
    assert [(w, e["event"]) for w, e in reader.read()] == [("one", "a")]
    assert list(reader.read()) == []
    two.append("b")
    one.append("c")
    assert [(w, e["event"]) for w, e in reader.read()] == [("one", "c"), ("two", "b")]


def test_torn_last_line_is_left_until_it_is_whole(tmp_path):
    layout = Layout(tmp_path)
    EventLog(layout, "w").append("a")
    with layout.event_log("w").open("ab") as file:
        file.write(b'{"t":1.0,"eve')
    reader = EventReader(layout)
    assert [e["event"] for _, e in reader.read()] == ["a"]
    with layout.event_log("w").open("ab") as file:
        file.write(b'nt":"late"}\n')
    assert [e["event"] for _, e in reader.read()] == ["late"]
    assert reader.n_malformed == 0


def test_a_reopened_torn_journal_loses_only_the_torn_line(tmp_path):
    layout = Layout(tmp_path)
    layout.events.mkdir()
    layout.event_log("w").write_bytes(b'{"t":1.0,"event":"a"}\n{"t":2.0,"ev')
    EventLog(layout, "w").append("b")
    reader = EventReader(layout)
    assert [e["event"] for _, e in reader.read()] == ["a", "b"]
    assert reader.n_malformed == 1


def test_lines_that_are_no_events_are_counted(tmp_path):
    layout = Layout(tmp_path)
    layout.events.mkdir()
    layout.event_log("w").write_bytes(b'[1]\n{"t":"x","event":"a"}\n\x00\x00\n{"t":3,"event":"ok"}\n')
    reader = EventReader(layout)
    assert [e["event"] for _, e in reader.read()] == ["ok"]
    assert reader.n_malformed == 3


def test_threads_share_a_journal_without_mixing_lines(tmp_path):
    layout = Layout(tmp_path)
    log = EventLog(layout, "w")

    def many(k):
        for i in range(100):
            log.append("x", k=k, i=i, padding="p" * 500)

    threads = [threading.Thread(target=many, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [(e["k"], e["i"]) for e in read_events(layout)]
    assert sorted(seen) == [(k, i) for k in range(4) for i in range(100)]


def test_long_journal_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("campaign.store.events._PIECE", 7)
    layout = Layout(tmp_path)
    log = EventLog(layout, "w")
    for i in range(20):
        log.append("x", i=i)
    reader = EventReader(layout)
    assert [e["i"] for _, e in reader.read()] == list(range(20))
    assert reader.offsets["w"] == layout.event_log("w").stat().st_size


def test_writer_names_the_process():
    owner = this_process()
    assert f"-{os.getpid()}-" in owner.writer
    assert "/" not in owner.writer
    assert not owner.is_surely_dead()


def test_colleagues_of_a_group_may_append_where_the_umask_lets_them(tmp_path):
    layout, before = Layout(tmp_path), os.umask(0o002)
    try:
        with EventLog(layout) as events:
            events.append("submitted")
        publish_json(layout.array, {"schema": "x"})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (events.path, layout.array)} == {0o664}
