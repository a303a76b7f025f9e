"""What waits in a cluster's queue is what was submitted: edits until its job begins change nothing."""

import json
import os
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from campaign.analysis.verify import verify
from campaign.cli.main import run
from campaign.drive.doors import submit
from campaign.errors import Damage, UsageError
from campaign.store.claim import check_directory, read_identity
from campaign.store.layout import Layout
from mean_problem import mean_problem

VALUES = 'np.loadtxt(Path(__file__).parent / "data.txt") * k + OFFSET'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A problem with a helper and data, and a cluster whose `sbatch` keeps the script and runs nothing."""
    place = tmp_path / "project"
    place.mkdir()
    (place / "p.py").write_text(mean_problem(VALUES, "from helper import OFFSET"))
    (place / "helper.py").write_text("OFFSET = 10.0\n")
    (place / "data.txt").write_text("1.0\n3.0\n")
    document = {
        "schema": "campaign/1",
        "name": "held",
        "problem": {"name": "p.py:mean"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.k": [1, 2]}},
        "execution": {"executor": "slurm-array", "profile": "loopback"},
    }
    (place / "manifest.json").write_text(json.dumps(document))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "sbatch").write_text(f"#!/bin/sh\ncat >{tmp_path}/script\necho 7\n")
    (bin_ / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return place


def words_of(script: str) -> list[str]:
    """What the driver's job gives `campaign`."""
    words = shlex.split(script.splitlines()[-1])
    return words[words.index("campaign.drive.driver_job") + 1 :]


def means(root: Path) -> dict[int, float]:
    rows = pq.read_table(root / "tables" / "summary.parquet").to_pylist()
    return {row["problem.k"]: round(row["theta.a"], 9) for row in rows}


def test_edits_while_a_driver_waits_change_nothing(project, tmp_path, capsys):
    root, manifest = tmp_path / "r", project / "manifest.json"
    shown = ["submit", str(manifest), "-d", str(root), "--detach", "--set", "engine.max_steps=50"]
    assert run([*shown, "--dry-run"]) == 0
    foreseen = capsys.readouterr().out
    assert not root.exists()
    assert run([*shown, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["job"] == "7"
    script = (tmp_path / "script").read_text()
    command, held, *rest = words_of(script)
    assert (command, rest) == ("submit", ["-d", str(root)])
    assert held in foreseen

    (project / "helper.py").write_text("OFFSET = 20.0\n")
    (project / "data.txt").write_text("5.0\n5.0\n")
    manifest.write_text(manifest.read_text().replace("[1, 2]", "[1, 2, 3]"))
    report = submit(held, root, executor="inline")
    assert (report.state, report.warnings) == ("done", ())
    assert means(root) == {1: 12.0, 2: 14.0}  # 2 k + 10
    assert json.loads((root / "manifest.json").read_text())["engine"]["max_steps"] == 50
    assert read_identity(Layout(root)).folder == str(project)
    assert verify(Layout(root)) == []

    again = submit(manifest, root, executor="inline")
    assert "`data.txt`, `helper.py` have changed since the last submission" in again.warnings[0]
    assert means(root) == {1: 25.0, 2: 30.0, 3: 35.0}


def test_copies_that_were_damaged_while_a_driver_waited_are_told(project, tmp_path):
    root = tmp_path / "r"
    assert run(["submit", str(project / "manifest.json"), "-d", str(root), "--detach"]) == 0
    _, held, *_ = words_of((tmp_path / "script").read_text())
    (copy,) = root.glob("inputs/*/helper.py")
    copy.chmod(0o644)
    copy.write_text("OFFSET = 20.0\n")
    with pytest.raises(Damage, match=r"helper.py has been changed"):
        submit(held, root, executor="inline")


def test_a_folder_of_inputs_alone_is_nobodys_campaign(tmp_path):
    (tmp_path / "inputs").mkdir()
    with pytest.raises(UsageError, match="it holds `inputs`"):
        check_directory(tmp_path, "held")
