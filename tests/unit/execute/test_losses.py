"""Blocks whose workers were lost."""

from __future__ import annotations

from campaign.execute.losses import Losses
from campaign.last_words import Words, note_end
from campaign.store.events import EventLog, read_events
from campaign.store.layout import BlockTask, Layout

TASKS = [BlockTask("fit", 0, i) for i in range(10)]


def test_losses_have_a_limit_of_their_own_and_are_journalled(tmp_path):
    layout = Layout(tmp_path)
    losses = Losses(layout=layout, events=EventLog(layout), limit=3)
    assert losses.note(TASKS[0], "node died") is None
    assert losses.note(TASKS[1], "node died") is None
    assert losses.note(TASKS[0], "node died") is None
    receipt = losses.note(TASKS[0], "killed by SIGKILL")
    assert (receipt.state, receipt.task) == ("lost", TASKS[0])
    assert "lost 3 times, the last time: killed by SIGKILL" in receipt.message
    assert [(e["block"], e["count"]) for e in read_events(layout)] == [(0, 1), (1, 1), (0, 2)]


def test_a_loss_tells_more_where_it_names_a_run_at_fault(tmp_path):
    layout = Layout(tmp_path)
    losses = Losses(layout=layout, events=EventLog(layout))
    assert not losses.tells_more(TASKS)
    path = layout.hung("fit", 0, 1)
    path.parent.mkdir(parents=True)
    with path.open("ab", buffering=0) as file:
        Words(file).say({"phase": "running", "rows": [1]})
    note_end(path, "exit code 3")
    assert losses.tells_more(TASKS[:2])
    assert not losses.tells_more(TASKS[:2])
    assert not losses.tells_more(TASKS[2:])
