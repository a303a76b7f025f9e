"""The defaults store: merge, history, two writers, kill -9, damage."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from campaign.errors import InvalidValue, Unavailable, UnknownName
from campaign.store import defaults
from campaign.store.defaults import DamagedDefaults, history, load, load_defaults, models, update_defaults


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "store"))
    return tmp_path / "store"


def test_nothing_stored_is_said_with_the_next_step():
    assert load("lcdm") is None
    with pytest.raises(UnknownName, match="publish: defaults"):
        load_defaults("lcdm")


def test_round_trip_is_exact_and_merge_keeps_the_rest():
    values = {"H0": 67.47716388682032, "Om0": 0.1 + 0.2, "tiny": 5e-324}
    update_defaults("lcdm", values, provenance={"data": ["cmb"]})
    assert load_defaults("lcdm") == values
    stored = update_defaults("lcdm", {"H0": 70.0}, provenance={"data": ["bao"]})
    assert load_defaults("lcdm") == {**values, "H0": 70.0}
    assert (stored.revision, stored.changed, stored.provenance) == (2, ["H0"], {"data": ["bao"]})
    assert [r.values["H0"] for r in history("lcdm")] == [67.47716388682032, 70.0]
    assert models() == ("lcdm",)


def test_dry_run_writes_nothing(folder):
    stored = update_defaults("lcdm", {"H0": 70.0}, dry_run=True)
    assert stored.values == {"H0": 70.0}
    assert not folder.exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, "70", True, None])
def test_what_is_no_number_is_refused(value, folder):
    with pytest.raises(InvalidValue):
        update_defaults("lcdm", {"H0": value})
    assert load("lcdm") is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "file" / "store"))
    with pytest.raises(Unavailable, match="set CAMPAIGN_DEFAULTS to a folder that can"):
        update_defaults("lcdm", {"H0": 70.0})


@pytest.mark.parametrize("model", ["../lcdm", "", "a/b", ".hidden"])
def test_a_model_is_a_plain_name(model):
    with pytest.raises(InvalidValue, match="not a name for a model"):
        update_defaults(model, {"H0": 70.0})


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema": "campaign.defaults/1"}', "digit"])
def test_damage_is_reported_kept_aside_and_rebuilt(folder, damage):
    update_defaults("lcdm", {"H0": 67.25})
    update_defaults("lcdm", {"Om0": 0.3})
    path = folder / "lcdm.json"
    bad = path.read_bytes().replace(b"67.25", b"76.25") if damage == "digit" else damage
    path.write_bytes(bad)
    with pytest.warns(DamagedDefaults, match="damaged-1, rebuilt from revision 2"):
        assert load_defaults("lcdm") == {"H0": 67.25, "Om0": 0.3}
    assert (folder / "lcdm.damaged-1").read_bytes() == bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_defaults("lcdm") == {"H0": 67.25, "Om0": 0.3}
        assert update_defaults("lcdm", {"H0": 68.0}).revision == 3


def test_damage_without_history_starts_again(folder):
    update_defaults("lcdm", {"H0": 67.25})
    (folder / "lcdm.json").write_text("{")
    (folder / "lcdm.history.jsonl").write_text("torn")
    with pytest.warns(DamagedDefaults, match="history is empty"):
        assert load("lcdm") is None
    assert update_defaults("lcdm", {"H0": 68.0}).values == {"H0": 68.0}
    assert [r.values for r in history("lcdm")] == [{"H0": 68.0}]


def test_killed_between_history_and_file_the_update_holds(folder, monkeypatch):
    update_defaults("lcdm", {"H0": 67.0})
    monkeypatch.setattr(defaults, "publish_bytes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        update_defaults("lcdm", {"H0": 68.0})
    monkeypatch.undo()
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(folder))
    assert json.loads((folder / "lcdm.json").read_text())["values"] == {"H0": 67.0}
    assert load_defaults("lcdm") == {"H0": 68.0}
    assert update_defaults("lcdm", {"Om0": 0.3}).values == {"H0": 68.0, "Om0": 0.3}


WRITER = """
import sys
from campaign.store.defaults import update_defaults
model, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for i in range(n):
    update_defaults(model, {name: float(i)}, provenance={"writer": name})
"""


def writer(model, name, n):
    return subprocess.Popen([sys.executable, "-c", WRITER, model, name, str(n)], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("models_of_two", [("lcdm", "pbuf"), ("lcdm", "lcdm")])
def test_two_processes_lose_nothing(models_of_two):
    n = 25
    processes = [writer(model, f"x{k}", n) for k, model in enumerate(models_of_two)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    for k, model in enumerate(models_of_two):
        own = [r.values[f"x{k}"] for r in history(model) if r.provenance["writer"] == f"x{k}"]
        assert own == [float(i) for i in range(n)]
        assert load_defaults(model)[f"x{k}"] == n - 1
    if models_of_two[0] == models_of_two[1]:
        assert [r.revision for r in history("lcdm")] == list(range(1, 2 * n + 1))


def test_kill_nine_leaves_a_whole_record():
    update_defaults("lcdm", {"x": -1.0})
    for round_ in range(4):
        process = writer("lcdm", "x", 100_000)
        process.stdout.readline()
        time.sleep(0.03 + 0.02 * round_)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stored = load("lcdm")
            records = history("lcdm")
        assert stored.revision == len(records)
        assert stored.values == records[-1].values
        update_defaults("lcdm", {"after": float(round_)})
        assert load_defaults("lcdm")["after"] == round_
