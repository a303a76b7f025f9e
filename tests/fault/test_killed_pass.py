"""A process that ends inside a long pass over rows: what was summed is not computed again, and bits are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from campaign.store.events import read_events
from campaign.store.layout import Layout
from running import assert_same, campaign, command, table
from watched_rows import write_watched

N, D = 6_000, 3
CHUNK = 500  # 12 row blocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pass")
    document = {
        "schema": "campaign/1",
        "name": "pass",
        "problem": write_watched(folder, N, D),
        "engine": {"name": "trf", "chunk": CHUNK},
        "trace": False,
        "execution": {"executor": "inline"},
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder


def n_read(folder, name):
    return len((folder / f"{name}.read").read_bytes())


@pytest.fixture(scope="module")
def whole(folder):
    """The table of a fit that nobody disturbs, and the row blocks that it read."""
    done = campaign("submit", folder / "manifest.json", "-d", folder / "whole", READ=str(folder / "whole.read"))
    assert done.returncode == 0, done.stderr
    return table(folder / "whole"), n_read(folder, "whole")


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_pass_goes_on_where_a_process_ended(folder, whole, how):
    expected, n_whole = whole
    place, read = folder / how.name, folder / f"{how.name}.read"
    submit = command("submit", folder / "manifest.json", "-d", place)
    driver = subprocess.Popen(submit, env=os.environ | {"READ": str(read), "SECONDS": "0.3"})
    kept = Layout(place).passes("main", 0, 0)
    until = time.monotonic() + 240
    while not (found := list(place.glob("checkpoints/*/*.passes"))) or found[0].stat().st_size == 0:
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    driver.send_signal(how)
    assert driver.wait(timeout=120) == (-signal.SIGKILL if how == signal.SIGKILL else 7)
    assert found[0].name == kept.name
    assert not list(place.glob("checkpoints/*/*.npz"))  # the fit is in its first chunk of steps
    before = n_read(folder, how.name)
    done = campaign("resume", place, READ=str(read))
    assert done.returncode == 0, done.stderr
    assert_same(table(place), expected)
    again = n_read(folder, how.name) - before
    assert n_whole - before <= again <= n_whole - 4  # a round has four row blocks at first
    if how == signal.SIGINT:
        assert again == n_whole - before  # nothing twice
        assert "block_interrupted" in [event["event"] for event in read_events(Layout(place))]
    assert not list(place.glob("checkpoints/*/*"))


def test_memory_that_runs_out_in_a_pass_is_named_and_tried_again_where_that_is_asked_for(folder, whole):
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "again.json").write_text(json.dumps({**document, "retry": {"oom": 1}}))
    environment = {"READ": str(folder / "full.read"), "FULL": str(folder / "full")}
    done = campaign("submit", folder / "again.json", "-d", folder / "again", **environment)
    assert done.returncode == 0, done.stderr
    found, expected = table(folder / "again"), whole[0]
    numbers = [name for name in expected.column_names if name.startswith(("theta.", "stderr.", "metric."))]
    assert_same(found.select(["outcome", *numbers]), expected.select(["outcome", *numbers]))
    (event,) = [event for event in read_events(Layout(folder / "again")) if event["event"] == "retried"]
    assert (event["kind"], event["n_runs"]) == ("oom", 1)
