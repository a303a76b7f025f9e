"""Campaigns through the command line, as a user runs them: real fits, in this process unless a signal is needed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from scipy.optimize import curve_fit

from campaign.cli.main import run
from campaign.cli.numbers import measurement
from campaign.store.layout import Layout
from campaign.store.lease import acquire

MANIFEST = {
    "schema": "campaign/1",
    "name": "decays",
    "seed": 5,
    "problem": {"name": "decay", "n": 60},
    "engine": {"name": "trf"},
    "expand": {"grid": {"problem.sigma": [0.02, 0.05], "problem.data_seed": {"range": [0, 20, 1]}}},
    "execution": {"executor": "inline"},
}

FLAKY = """
import os
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from campaign.problem.base import Problem
from campaign.registry import Varying
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace((Parameter(name="x", initial=1.0),))


class Flaky(Problem):
    space: ThetaSpace = eqx.field(static=True)
    shift: Array

    def residuals(self, theta):
        return jnp.where(self.shift == 7.0, jnp.nan, theta - self.shift)


def flaky(number: Annotated[int, Varying()] = 0) -> Flaky:
    if number == 3 and not os.path.exists(os.environ["FLAKY_MENDED"]):
        raise RuntimeError(f"no data for number {number}")
    return Flaky(SPACE, jnp.asarray(float(number)))
"""


def write_manifest(folder, **changes):
    path = Path(folder) / "manifest.json"
    path.write_text(json.dumps({**MANIFEST, **changes}))
    return str(path)


def call(capsys, *arguments, code=0):
    """What a command prints; its exit code is checked."""
    capsys.readouterr()
    seen = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert seen == code, captured.err
    return captured


def call_json(capsys, *arguments, code=0):
    document = json.loads(call(capsys, *arguments, "--json", code=code).out)
    assert document["schema"] == f"campaign.{arguments[0]}/1"
    return document


def start(*arguments, **options):
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "campaign", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def decays(tmp_path_factory):
    """A finished campaign: (manifest, directory, what submit printed)."""
    folder = tmp_path_factory.mktemp("decays")
    manifest, directory = write_manifest(folder), folder / "results"
    done = subprocess.run(
        [sys.executable, "-m", "campaign", "submit", manifest, "-d", str(directory)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return manifest, directory, done


def test_submit_prints_the_best_fit_with_its_errors(decays):
    _, directory, done = decays
    table = pandas.read_parquet(directory / "tables" / "summary.parquet")
    assert len(table) == 40
    first = table[(table["problem.sigma"] == 0.02) & (table["problem.data_seed"] == 0)].iloc[0]
    line = next(text for text in done.stdout.splitlines() if text.startswith("0.02 "))
    assert measurement(first["theta.rate"], first["stderr.rate"]) in line
    assert first["run_id"][:12] in line
    assert "lowest loss where problem.data_seed = 0 (2 of 40 groups)" in done.stdout
    assert "main: 40 runs of trf, 40 converged" in done.stdout
    assert "rate [1/s]" in done.stdout


def test_the_fit_is_what_scipy_finds(decays):
    from campaign.problem.reference.catalogue import DecayOptions
    from campaign.problem.reference.decay import build

    table = pandas.read_parquet(decays[1] / "tables" / "summary.parquet")
    first = table.iloc[0]
    data = np.asarray(build(DecayOptions(n=60, sigma=0.02, data_seed=0)).data)
    time_s = np.linspace(0.0, 10.0, 60)

    def model(t, amplitude, rate, offset, drift):
        return amplitude * np.exp(-rate * t) + offset + drift * t

    best, covariance = curve_fit(model, time_s, data, [1, 1, 0, 0], np.full(60, 0.02), absolute_sigma=True)
    names = ("amplitude", "rate", "offset", "drift")
    np.testing.assert_allclose([first[f"theta.{name}"] for name in names], best, rtol=1e-5)
    np.testing.assert_allclose([first[f"stderr.{name}"] for name in names], np.sqrt(np.diag(covariance)), rtol=1e-4)


def test_progress_goes_to_stderr_and_says_where_things_are_on_stdout(decays):
    _, directory, done = decays
    assert "main  40/40 runs  100%  done" in done.stderr
    assert f"table   {directory}/tables/summary.parquet" in done.stdout
    assert "Traceback" not in done.stderr


def test_submitting_again_runs_nothing_and_an_added_value_only_what_is_new(capsys, tmp_path):
    again = call_json(capsys, "submit", write_manifest(tmp_path), "-d", tmp_path / "r")
    before = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet")
    grid = {"problem.sigma": [0.02, 0.05, 0.1], "problem.data_seed": {"range": [0, 20, 1]}}
    larger = write_manifest(tmp_path, expand={"grid": grid})
    planned = call_json(capsys, "plan", larger, "-d", tmp_path / "r")["stages"][0]
    assert (planned["n_runs"], planned["n_new"], planned["n_done"], planned["n_removed"]) == (60, 20, 40, 0)
    report = call_json(capsys, "submit", larger, "-d", tmp_path / "r")
    assert (again["stages"][0]["n_new"], report["stages"][0]["n_new"]) == (40, 20)
    assert report["state"] == "done"
    after = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet").set_index("run_id")
    assert len(after) == 60
    kept = after.loc[before["run_id"]]
    assert (kept["theta.rate"].to_numpy() == before["theta.rate"].to_numpy()).all()
    assert (kept["started_at"].to_numpy() == before["started_at"].to_numpy()).all()


def test_the_json_of_submit_has_the_results(capsys, tmp_path):
    report = call_json(capsys, "submit", write_manifest(tmp_path), "-d", tmp_path / "r")
    assert report["exit_code"] == 0
    (stage,) = report["results"]
    assert stage["outcomes"] == {"converged": 40}
    assert stage["held"] == {"problem.data_seed": 0}
    assert [best["group"] for best in stage["best"]] == [{"problem.sigma": 0.02}, {"problem.sigma": 0.05}]
    rate = next(e for e in stage["best"][0]["estimates"] if e["name"] == "rate")
    assert rate["unit"] == "1/s"
    assert abs(rate["value"] - 0.8) < 5 * rate["error"]


def test_validate_and_plan_change_nothing(capsys, tmp_path):
    manifest = write_manifest(tmp_path)
    assert "is valid" in call(capsys, "validate", manifest).out
    (stage,) = call_json(capsys, "plan", manifest, "-d", tmp_path / "r")["stages"]
    assert (stage["n_runs"], stage["n_new"], stage["n_done"]) == (40, 40, 0)
    assert len(stage["programs"]) == 1
    assert "40 new, 0 done" in call(capsys, "plan", manifest, "-d", tmp_path / "r").out
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_status(decays, capsys):
    status = call_json(capsys, "status", decays[1])
    assert status["state"] == "complete"
    (stage,) = status["stages"]
    assert (stage["n_runs"], stage["n_ok"], stage["n_failed"], stage["n_pending"]) == (40, 40, 0, 0)
    assert status["rate"] is None  # nothing is running
    text = call(capsys, "status", decays[1]).out
    assert re.search(r"main +40 +40 +0 +0", text)
    assert call(capsys, "watch", decays[1]).out == text
    (line,) = call(capsys, "watch", decays[1], "--json").out.splitlines()
    watched = json.loads(line)
    assert {k: watched[k] for k in ("schema", "state", "stages")} == {
        k: status[k] for k in ("schema", "state", "stages")
    }
    assert watched.keys() == status.keys()


def test_ls_selects_sorts_and_limits(decays, capsys):
    everything = call_json(capsys, "ls", decays[1], "--limit", 0)
    assert everything["n_runs"] == len(everything["runs"]) == 40
    noisy = call_json(capsys, "ls", decays[1], "--where", "problem.sigma > 0.03", "--sort", "-loss", "--limit", 5)
    assert noisy["n_runs"] == 20
    losses = [row["loss"] for row in noisy["runs"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 5
    assert call_json(capsys, "ls", decays[1], "--state", "failed")["n_runs"] == 0
    run_id = noisy["runs"][0]["run_id"]
    assert call(capsys, "ls", decays[1], run_id[:10], "--ids").out.split() == [run_id]
    columns = call_json(capsys, "ls", decays[1], "--columns", "run_id,stderr.rate", "--limit", 1)["runs"][0]
    assert list(columns) == ["run_id", "stderr.rate"]


def test_ls_reads_run_ids_from_standard_input(decays):
    table = pyarrow.parquet.read_table(decays[1] / "tables" / "summary.parquet", columns=["run_id"])
    wanted = table["run_id"].to_pylist()[3:5]
    done = subprocess.run(
        [sys.executable, "-m", "campaign", "ls", str(decays[1]), "-", "--ids"],
        input="\n".join(wanted),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == wanted


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ls", "--where", "problem.sgma > 1"], 3, "did you mean `problem.sigma`?"),
        (["ls", "--where", "9**9**9"], 3, "power"),
        (["ls", "--columns", "theta.rat"], 3, "did you mean `theta.rate`?"),
        (["ls", "--state", "faild"], 3, "did you mean `failed`?"),
        (["ls", "--stage", "mian"], 3, "did you mean `main`?"),
        (["show", "zz"], 3, "no run begins with `zz`"),
        (["query", "select nonsense"], 2, "nonsense"),
        (["query", "select * from read_csv('/etc/passwd')"], 2, "query:"),
    ],
)
def test_mistakes_have_messages_and_exit_codes(decays, capsys, arguments, code, message):
    error = call(capsys, arguments[0], decays[1], *arguments[1:], code=code).err
    assert message in error
    assert error.startswith("error: ")
    assert "Traceback" not in error


def test_a_cancel_with_nobody_at_work_is_said_and_is_no_error(decays, capsys):
    assert call(capsys, "cancel", decays[1]).out.startswith("no driver is running")
    assert call_json(capsys, "pause", decays[1])["is_at_work"] is False


def test_show_query_logs_and_reduce(decays, capsys):
    shown = call_json(capsys, "show", decays[1], "last")
    assert shown["record"]["status"] == "ok"
    assert shown["axes"]["problem.sigma"] == 0.05
    text = call(capsys, "show", decays[1], shown["run"]["run_id"][:8]).out
    assert measurement(shown["record"]["theta"]["rate"], shown["record"]["stderr"]["rate"], "1/s") in text
    answer = call_json(capsys, "query", decays[1], "select count(*) as n from summary where status = 'ok'")
    assert answer["rows"] == [{"n": 40}]
    events = [event["event"] for event in call_json(capsys, "logs", decays[1], "--limit", 0)["events"]]
    assert events.count("submitted") == 1
    assert events.count("block_published") == shown["run"]["block"] + 1
    assert call_json(capsys, "reduce", decays[1])["n_done"] == 40


def test_export_writes_a_run_as_plain_files(decays, capsys, tmp_path):
    table = pandas.read_parquet(decays[1] / "tables" / "summary.parquet")
    row = table.iloc[17]
    call(capsys, "export", decays[1], row["run_id"][:12], "-o", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    trace = np.load(tmp_path / "out" / "trace.npz")
    assert summary["theta"]["rate"] == row["theta.rate"]
    assert meta["axes"] == {"problem.sigma": 0.02, "problem.data_seed": 17}
    assert trace["loss"].shape == (row["n_steps"],)
    assert trace["loss"][-1] == pytest.approx(row["loss"], rel=1e-12)
    assert trace["theta"][-1].tolist() == pytest.approx(
        [row[f"theta.{name}"] for name in trace["parameter"]], rel=1e-12
    )


def test_export_is_the_same_from_the_packed_layout(decays, capsys, tmp_path):
    manifest = write_manifest(tmp_path, execution={"executor": "inline", "layout": "packed"})
    call(capsys, "submit", manifest, "-d", tmp_path / "r", "--quiet")
    assert not (tmp_path / "r" / "runs").exists()
    run_id = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet")["run_id"].iloc[17]
    documents = []
    for directory, name in ((decays[1], "a"), (tmp_path / "r", "b")):
        call(capsys, "export", directory, run_id, "-o", tmp_path / name)
        documents.append([json.loads((tmp_path / name / f"{kind}.json").read_text()) for kind in ("meta", "summary")])
    (meta_a, summary_a), (meta_b, summary_b) = documents
    for one in (meta_a, meta_b):
        del one["created_at"], one["crc32"]  # when it ran
    assert meta_a == meta_b
    assert summary_a["theta"] == summary_b["theta"]
    assert summary_a["stderr"] == summary_b["stderr"]


def test_damage_is_found_repaired_and_done_again(capsys, tmp_path):
    call(capsys, "submit", write_manifest(tmp_path), "-d", tmp_path / "r", "--quiet")
    layout = Layout(tmp_path / "r")
    before = pandas.read_parquet(layout.table)
    assert call_json(capsys, "verify", tmp_path / "r")["n_findings"] == 0
    victim = sorted(layout.summaries_folder("main").glob("*.jsonl"))[1]
    victim.write_bytes(victim.read_bytes()[:-40])
    assert victim.name in call(capsys, "verify", tmp_path / "r", code=9).out
    call(capsys, "verify", tmp_path / "r", "--repair")
    call(capsys, "resume", tmp_path / "r", "--quiet")
    call(capsys, "verify", tmp_path / "r")
    after = pandas.read_parquet(layout.table)
    assert (after["theta.rate"] == before["theta.rate"]).all()


@pytest.fixture
def flaky(tmp_path, monkeypatch):
    """A manifest whose runs 3 and 7 of 10 fail; the file MENDED heals run 3."""
    monkeypatch.setenv("FLAKY_MENDED", str(tmp_path / "MENDED"))
    (tmp_path / "flaky.py").write_text(FLAKY)
    return write_manifest(
        tmp_path,
        name="flaky",
        problem={"name": "flaky.py:flaky"},
        expand={"grid": {"problem.number": {"range": [0, 10, 1]}}},
    )


def test_failed_runs_are_grouped_and_retried(flaky, capsys, tmp_path):
    directory = tmp_path / "r"
    report = call_json(capsys, "submit", flaky, "-d", directory, code=4)
    assert (report["stages"][0]["n_ok"], report["stages"][0]["n_failed"]) == (8, 2)
    status = call_json(capsys, "status", directory)
    said = {failure["message"].partition(" (flaky.py:")[0]: failure["n"] for failure in status["failures"]}
    assert said["RuntimeError: no data for number 3"] == 1
    assert len(said) == 2
    text = call(capsys, "status", directory).out
    assert "no data for number 3" in text
    assert f"campaign retry {directory}" in text
    failed = call_json(capsys, "ls", directory, "--state", "failed", "--columns", "problem.number,outcome")["runs"]
    assert failed == [
        {"problem.number": 3, "outcome": "error"},
        {"problem.number": 7, "outcome": "nonfinite"},
    ]
    (tmp_path / "MENDED").touch()
    report = call_json(capsys, "retry", directory, "--where", 'outcome == "error"', code=4)  # run 7 still fails
    assert report["stages"][0]["n_failed"] == 1
    table = pandas.read_parquet(directory / "tables" / "summary.parquet").set_index("problem.number")
    assert len(table) == 10
    assert table.loc[3, "theta.x"] == pytest.approx(3.0, abs=1e-9)
    assert table.loc[3, "attempt"] == 1
    assert table.loc[7, "status"] == "failed"


def test_the_failure_policy_stops_the_campaign(flaky, capsys, tmp_path):
    document = json.loads(Path(flaky).read_text())
    document["execution"]["max_failures"] = 0
    document["block"] = 1
    Path(flaky).write_text(json.dumps(document))
    report = call_json(capsys, "submit", flaky, "-d", tmp_path / "r", code=5)
    assert report["state"] == "stopped"
    assert 0 < report["stages"][0]["n_pending"] < 10


def test_a_second_driver_is_refused(decays, capsys, tmp_path):
    call(capsys, "submit", write_manifest(tmp_path), "-d", tmp_path / "r", "--quiet")
    with acquire(Layout(tmp_path / "r")):
        error = call(capsys, "resume", tmp_path / "r", code=8).err
    assert f"process {os.getpid()}" in error


def test_a_directory_of_another_campaign_is_refused(decays, capsys, tmp_path):
    error = call(capsys, "submit", write_manifest(tmp_path, name="other"), "-d", decays[1], code=2).err
    assert "belongs to the campaign `decays`, not to `other`" in error
    assert "not a campaign" in call(capsys, "status", tmp_path, code=3).err
    assert "does not exist" in call(capsys, "status", tmp_path / "nowhere", code=2).err


def test_every_mistake_of_a_manifest_is_shown_at_once(capsys, tmp_path):
    manifest = write_manifest(
        tmp_path,
        problem={"name": "decay", "nn": 1},
        engine={"name": "trff"},
        expand={"grid": {"problem.sigma": []}},
        sede=1,
    )
    for command in ("validate", "plan", "submit"):
        error = call(capsys, command, manifest, code=3).err
        for place in ("/problem/nn", "/engine/name", "/expand/grid/problem.sigma", "/sede"):
            assert f"manifest.json: {place}: " in error
        assert "did you mean `trf`?" in error
    errors = json.loads(call(capsys, "validate", manifest, "--json", code=3).out)["errors"]
    assert len(errors) == 4


def slow(folder, n_sigmas=40):
    """A campaign of many small blocks, which takes a few seconds; ten runs a sigma."""
    grid = {"problem.sigma": {"linspace": [0.01, 0.1, n_sigmas]}, "problem.data_seed": {"range": [0, 10, 1]}}
    return write_manifest(folder, expand={"grid": grid}, block=1)


@pytest.mark.long
def test_control_c_drains_and_resume_goes_on(tmp_path, capsys):
    directory = tmp_path / "r"
    process = start("submit", slow(tmp_path, n_sigmas=15), "-d", directory)
    blocks = directory / "summaries" / "main"
    wait_until(lambda: blocks.is_dir() and len(list(blocks.glob("*.jsonl"))) >= 3)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 7, error
    assert "draining" in error
    assert f"campaign resume {directory}" in error
    n_done = call_json(capsys, "status", directory)["stages"][0]["n_ok"]
    assert 3 <= n_done < 150
    report = call_json(capsys, "resume", directory)
    assert report["stages"][0]["n_ok"] == 150
    assert "nothing is wrong" in call(capsys, "verify", directory).out


@pytest.mark.long
def test_a_detached_driver_is_watched_and_cancelled(tmp_path, capsys):
    directory = tmp_path / "r"
    out, error = start("submit", slow(tmp_path), "-d", directory, "--detach", "--json").communicate(timeout=120)
    assert out, error
    document = json.loads(out)
    assert document["detached"]
    error = call(capsys, "submit", slow(tmp_path), "-d", directory, code=8).err
    assert str(document["pid"]) in error
    call(capsys, "cancel", directory)
    wait_until(lambda: call_json(capsys, "status", directory)["state"] in ("stopped", "complete"))
    assert Path(document["log"]).is_file()
    wait_until(lambda: "next: campaign resume" in Path(document["log"]).read_text())
    assert call_json(capsys, "resume", directory)["stages"][0]["n_ok"] == 400


def test_detach_reports_what_ends_the_driver_at_once(tmp_path, capsys):
    call(capsys, "submit", write_manifest(tmp_path), "-d", tmp_path / "r", "--quiet")
    with acquire(Layout(tmp_path / "r")):
        process = start("resume", tmp_path / "r", "--detach")
        _, error = process.communicate(timeout=120)
    assert process.returncode == 8
    assert "is held since" in error


def test_a_dry_run_prints_the_jobs_and_writes_nothing(capsys, tmp_path):
    manifest = write_manifest(tmp_path)
    document = call_json(capsys, "submit", manifest, "-d", tmp_path / "r", "--dry-run")
    assert document["jobs"] == {"main": "# nothing is submitted: 40 blocks in this process\n"}
    arguments = ("submit", manifest, "-d", tmp_path / "r", "--dry-run", "-e", "slurm-array", "-p", "loopback")
    script = call(capsys, *arguments).out
    assert "#!/bin/bash" in script
    assert "40 blocks" in script
    assert not (tmp_path / "r").exists()
    script = call(capsys, *arguments, "--detach").out
    assert "-m campaign.drive.driver_job submit" in script
    assert "-m campaign.execute.queue.share" in script
    error = call(capsys, "submit", manifest, "--dry-run", "-p", "lopback", code=3).err
    assert "did you mean `loopback`?" in error
    assert "did you mean `dask`?" in call(capsys, "submit", manifest, "--dry-run", "-e", "dusk", code=3).err
