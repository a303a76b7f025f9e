"""A finished run goes on bit for bit: as many steps in two parts as in one, wherever and however often it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
import zarr

from campaign.drive.doors import extend, plan, resume, retry, submit
from campaign.errors import Incomplete, InvalidValue, UsageError
from campaign.store.layout import Layout
from campaign.store.plan import latest_part, read_header
from running import campaign, command, here, write_manifest

CHAIN: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "chain",
    "problem": {"name": "gaussian", "mean": 3.0, "correlation": 0.5},
    "engine": {"name": "ensemble", "walkers": 8, "steps": 200, "thin": 2},
    "replicates": 7,
    "block": 3,
    "execution": {"executor": "inline", "layout": "packed"},
}
OF_A_PLACE = {"run_id", "program", "part", "block", "row", "attempt", "started_at", "host", "runtime_s", "compile_s"}


def with_steps(folder: Path, steps: int, document: dict[str, Any] = CHAIN, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    option = "max_steps" if document["engine"]["name"] == "trf" else "steps"
    return write_manifest(folder, document | {"engine": document["engine"] | {option: steps}} | changes)


def results(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / "tables" / "summary.parquet")


def traces(directory: Path) -> dict[str, xarray.Dataset]:
    """The arrays of each run of the table, all loaded."""
    groups: dict[str, xarray.Dataset] = {}
    found = {}
    for row in results(directory).itertuples():
        if row.program not in groups:
            groups[row.program] = xarray.open_zarr(
                directory / "traces.zarr", group=f"{row.stage}/{row.program}", consolidated=False
            ).load()
        found[row.run_id] = groups[row.program].isel(run=row.row)
    return found


def assert_equal_runs(one: Path, other: Path) -> None:
    """Every number of the table and of the traces is the same bits; ids are not compared."""
    mine, theirs = results(one), results(other)
    names = [name for name in mine.columns if name not in OF_A_PLACE]
    assert names == [name for name in theirs.columns if name not in OF_A_PLACE]
    for name in names:
        assert mine[name].equals(theirs[name]), name
    for mine_, theirs_ in zip(traces(one).values(), traces(other).values(), strict=True):
        assert set(mine_.data_vars) == set(theirs_.data_vars)
        for name in mine_.data_vars:
            length = min(mine_[name].shape[0], theirs_[name].shape[0]) if mine_[name].ndim else None
            a, b = (x[name].values[:length] for x in (mine_, theirs_)) if length else (mine_[name], theirs_[name])
            np.testing.assert_array_equal(a, b, err_msg=name)


def n_computed(directory: Path) -> list[int]:
    """For each program of the latest plan the steps that it goes on from; −1 where its runs begin."""
    layout = Layout(directory)
    part = latest_part(layout, "main")
    assert part is not None
    programs = read_header(layout, "main", part)["programs"].values()
    return [entry.get("continues", {}).get("steps", -1) for entry in programs]


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    assert submit(with_steps(folder, 200), folder / "c").state == "done"
    return folder / "c"


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    assert submit(with_steps(folder, 400), folder / "c").state == "done"
    return folder / "c"


def test_two_hundred_and_two_hundred_are_four_hundred(tmp_path, short, long):
    folder = tmp_path / "c"
    subprocess.run(["cp", "-r", short, folder], check=True)
    report = extend(folder, 400)
    assert report.state == "done"
    assert n_computed(folder) == [200]
    assert_equal_runs(folder, long)
    assert list(results(folder)["run_id"]) == list(results(long)["run_id"])
    assert json.loads((folder / "manifest.json").read_text())["engine"]["steps"] == 400
    assert here("verify", folder).returncode == 0


def test_the_old_part_is_taken_over_and_not_computed(tmp_path, short):
    """A value of the old trace that no computation gives is in the new one."""
    folder = tmp_path / "c"
    subprocess.run(["cp", "-r", short, folder], check=True)
    (program,) = read_header(Layout(folder), "main", 0)["programs"]
    array = zarr.open_array(folder / "traces.zarr" / "main" / program / "theta", mode="r+")
    array[5, 17, 3, 0] = 1234.5
    assert extend(folder, 400).state == "done"
    (changed,) = read_header(Layout(folder), "main", 1)["programs"]
    copied = zarr.open_array(folder / "traces.zarr" / "main" / changed / "theta", mode="r")
    assert copied[5, 17, 3, 0] == 1234.5
    assert copied.shape[1] == 200


def test_a_changed_manifest_goes_on_too_and_the_plan_says_so(tmp_path, short, long):
    folder = tmp_path / "c"
    subprocess.run(["cp", "-r", short, folder], check=True)
    path = with_steps(tmp_path / "m", 400, replicates=9)  # two of the nine begin
    (stage,) = plan(path, folder)
    assert stage.continued == {200: 7}
    assert "7 runs from step 200" in here("plan", path, "-d", folder).stdout
    assert submit(path, folder).state == "done"
    assert sorted(n_computed(folder)) == [-1, 200]
    assert results(folder)["theta.x0"][:7].equals(results(long)["theta.x0"])


def test_extended_twice_on_workers(tmp_path, long):
    path = with_steps(tmp_path, 100)
    assert submit(path, tmp_path / "c").state == "done"
    assert extend(tmp_path / "c", 250, executor="dask", workers=2).state == "done"
    assert extend(tmp_path / "c", 400).state == "done"
    assert n_computed(tmp_path / "c") == [250]
    assert_equal_runs(tmp_path / "c", long)


@pytest.mark.parametrize("harm", ["state is gone", "state is damaged", "trace is gone", "trace is damaged"])
def test_what_is_missing_is_computed_from_the_start(tmp_path, short, long, harm):
    folder = tmp_path / "c"
    subprocess.run(["cp", "-r", short, folder], check=True)
    layout = Layout(folder)
    (program,) = read_header(layout, "main", 0)["programs"]
    chunk = layout.trace_group("main", program) / "theta" / "c" / "1" / "0" / "0" / "0"
    file = layout.state("main", 0, 1) if harm.startswith("state") else chunk
    file.write_bytes(file.read_bytes()[:-20]) if harm.endswith("damaged") else file.unlink()
    if harm.startswith("state"):
        assert here("verify", folder).returncode == (9 if harm.endswith("damaged") else 0)
    report = extend(folder, 400)
    assert report.state == "done"
    assert_equal_runs(folder, long)


def test_a_trace_that_leaves_something_out_is_computed_from_the_start(tmp_path, long):
    for number, policy in enumerate(({"every": 10}, {"fields": ["loss"]}, {"runs": "first"}, False)):
        folder = tmp_path / str(number)
        assert submit(with_steps(folder, 200, trace=policy), folder / "c").state == "done"
        assert extend(folder / "c", 400).state == "done"
        assert results(folder / "c")["theta.x0"].equals(results(long)["theta.x0"])
        assert results(folder / "c")["metric.rhat_max"].equals(results(long)["metric.rhat_max"])
    warnings = read_header(Layout(tmp_path / "0" / "c"), "main", 1)["warnings"]
    assert warnings == [
        "7 runs are computed from their start: `trace` omits steps or fields that are needed to continue"
    ]


VALLEY: dict[str, Any] = {  # eight fits of Rosenbrock's function, which take trf between 4 and 15 steps
    "schema": "campaign/1",
    "name": "valley",
    "problem": {"name": "rosenbrock"},
    "engine": {"name": "trf", "chunk_steps": 4},
    "expand": {"grid": {"start.x0": [-1.5, -1.2, -0.9, -0.6], "start.x1": [-0.5, 2.0]}},
    "block": 4,
    "execution": {"executor": "inline", "layout": "packed"},
}


def test_a_fit_out_of_steps_goes_on_at_its_retry(tmp_path):
    assert submit(with_steps(tmp_path / "one", 60, VALLEY), tmp_path / "one" / "c").state == "done"
    rule = {"nonconverged": {"times": 2, "factor": 2.5}}  # 4, then 10, then 25 steps
    assert submit(with_steps(tmp_path / "parts", 4, VALLEY, retry=rule), tmp_path / "parts" / "c").state == "done"
    assert {1, 2} <= set(results(tmp_path / "parts" / "c")["attempt"])
    assert n_computed(tmp_path / "parts" / "c") == [10]
    assert_equal_runs(tmp_path / "parts" / "c", tmp_path / "one" / "c")
    by_hand = tmp_path / "by hand"
    assert submit(with_steps(by_hand, 4, VALLEY, keep_state=True), by_hand / "c").state == "done"
    n_left = list(results(by_hand / "c")["outcome"]).count("budget")
    assert n_left > 4  # of both blocks
    assert retry(by_hand / "c", [], kinds=["nonconverged"], factor=10) == n_left
    assert resume(by_hand / "c").state == "done"
    assert n_computed(by_hand / "c") == [4]
    assert_equal_runs(by_hand / "c", tmp_path / "one" / "c")


def test_an_engine_on_the_host_begins_again_at_its_retry(tmp_path):
    host = VALLEY | {"engine": {"name": "nelder-mead"}, "expand": {"grid": {"start.x0": [-1.5, -0.9]}}, "block": 2}
    for name, steps, rule in (("one", 400, 0), ("parts", 40, {"nonconverged": {"times": 1, "factor": 10}})):
        (tmp_path / name).mkdir()
        engine = host["engine"] | {"max_steps": steps}
        path = write_manifest(tmp_path / name, host | {"engine": engine, "retry": rule})
        assert submit(path, tmp_path / name / "c").state == "done"
    assert set(results(tmp_path / "parts" / "c")["attempt"]) == {1}
    assert_equal_runs(tmp_path / "parts" / "c", tmp_path / "one" / "c")


def test_fits_that_had_converged_are_taken_over(tmp_path):
    """With 10 steps some have converged and some have not."""
    assert submit(with_steps(tmp_path / "one", 60, VALLEY), tmp_path / "one" / "c").state == "done"
    path = with_steps(tmp_path / "two", 10, VALLEY, keep_state=True)
    assert submit(path, tmp_path / "two" / "c").state == "done"
    assert set(results(tmp_path / "two" / "c")["outcome"]) == {"budget", "converged"}
    assert extend(tmp_path / "two" / "c", 60).state == "done"
    assert n_computed(tmp_path / "two" / "c") == [10]
    assert_equal_runs(tmp_path / "two" / "c", tmp_path / "one" / "c")


def test_killed_in_the_middle_of_an_extension(tmp_path):
    """Killed at the first checkpoint of the new part: the same bits as in one go."""
    engine = {"name": "ensemble", "walkers": 32, "steps": 400}
    assert (
        submit(with_steps(tmp_path, 4_000, CHAIN, engine=engine | {"steps": 12_000}), tmp_path / "one").state == "done"
    )
    directory = tmp_path / "c"
    often = {"executor": "inline", "layout": "packed", "checkpoint_s": 0.01}
    path = write_manifest(tmp_path, CHAIN | {"engine": engine, "execution": often})
    assert submit(path, directory).state == "done"
    driver = subprocess.Popen(command("extend", directory, "--steps", "12000", "-q"), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list((directory / "checkpoints").rglob("0001-*.npz")):
        assert driver.poll() is None, "it ended before a checkpoint"
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert list((directory / "checkpoints").rglob("0001-*.npz")), "killed too late"
    assert campaign("resume", directory, "-q").returncode == 0
    assert n_computed(directory) == [400]
    assert_equal_runs(directory, tmp_path / "one")


def test_mistakes_say_what_to_do(tmp_path, short):
    with pytest.raises(InvalidValue, match="has 200 steps already, and 200 were asked for"):
        extend(short, 200)
    with pytest.raises(InvalidValue, match="has 200 steps already"):
        extend(short, 100)
    path = with_steps(tmp_path / "no", 200, keep_state=False)
    assert submit(path, tmp_path / "no" / "c").state == "done"
    assert not (tmp_path / "no" / "c" / "states").exists()
    with pytest.raises(UsageError, match="was not kept"):
        extend(tmp_path / "no" / "c", 400)
    points = write_manifest(tmp_path, {**CHAIN, "engine": {"name": "evaluate"}})
    assert submit(points, tmp_path / "e").state == "done"
    with pytest.raises(UsageError, match="has no number of steps"):
        extend(tmp_path / "e", 400)
    unfinished = tmp_path / "unfinished"
    subprocess.run(["cp", "-r", short, unfinished], check=True)
    Layout(unfinished).summaries("main", 0, 1).unlink()
    with pytest.raises(Incomplete, match="is not finished"):
        extend(unfinished, 400)
    assert json.loads((short / "manifest.json").read_text())["engine"]["steps"] == 200
