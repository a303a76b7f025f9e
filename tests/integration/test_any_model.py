"""Every kind of model with every engine: the runs whose model fails fail, and all others give the JAX model's numbers.

A campaign a kind of model and executor, a stage an engine. ``ANY_MODEL_RUNS`` (10) and ``ANY_MODEL_EXECUTORS``
(inline,dask; also mpi, slurm-array) make the table bigger: then every kind meets every engine, in as many of the runs
as ``ANY_MODEL_SECONDS`` (60) of calls of the model allow, eight at least. A call that hangs is ended after
``ANY_MODEL_TIMEOUT`` (4) seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import any_models
import numpy as np
import pandas as pd
import pytest
import zarr
from any_models import C_SOURCE, FILE, SCRIPT, TIMES

from cluster_files import write_profile

N = int(os.environ.get("ANY_MODEL_RUNS", "10"))
EXECUTORS = os.environ.get("ANY_MODEL_EXECUTORS", "inline,dask").split(",")
IS_BIG = "ANY_MODEL_RUNS" in os.environ
ENGINES = {
    "evaluate": {"name": "evaluate"},
    "scan": {"name": "scan", "grid": {"rate": {"linspace": [0.5, 1.1, 4]}}},
    "trf": {"name": "trf"},
    "jacobian": {"name": "jacobian"},
    "ensemble": {"name": "ensemble", "walkers": 8, "steps": 240, "burn_in": 120, "thin": 1},
    "scipy-trf": {"name": "scipy-trf"},
    "scipy-lbfgsb": {"name": "scipy-lbfgsb"},
    "nelder-mead": {"name": "nelder-mead"},
    "differential-evolution": {"name": "differential-evolution", "population": 8},
}
CALLS = {  # of the model by a fit, about
    "evaluate": 1, "scan": 4, "trf": 30, "jacobian": 5, "ensemble": 1920, "scipy-trf": 30, "scipy-lbfgsb": 40,
    "nelder-mead": 90, "differential-evolution": 1000,
}  # fmt: skip
CALL_S = {"script": 0.02, "c_program": 0.003, "umbridge": 0.0005}
MOST_S = float(os.environ.get("ANY_MODEL_SECONDS", "60"))
KINDS = ("in_numpy", "batched", "with_if", "c_program", "script", "umbridge")
SMALL = {  # every engine with a function, some with the others
    ("in_numpy", "inline"): tuple(ENGINES),
    ("batched", "inline"): ("evaluate", "trf", "ensemble", "differential-evolution"),
    ("with_if", "inline"): ("evaluate", "scan", "jacobian", "nelder-mead"),
    ("c_program", "inline"): ("evaluate", "trf", "scan", "scipy-lbfgsb"),
    ("script", "inline"): ("evaluate", "trf"),
    ("umbridge", "inline"): ("evaluate", "jacobian", "trf", "ensemble", "scipy-trf"),
    ("with_if", "dask"): ("evaluate", "trf", "ensemble"),
    ("c_program", "dask"): ("evaluate", "jacobian", "nelder-mead"),
}
HANGING = ("evaluate", "nelder-mead")  # of a small table: each run that hangs takes its whole `timeout_s`
MARKS = {"mpi": pytest.mark.mpi, "slurm-array": pytest.mark.slurm}
TABLE = [
    pytest.param(kind, executor, marks=MARKS.get(executor, ()))
    for kind in KINDS
    for executor in EXECUTORS
    if IS_BIG or (kind, executor) in SMALL
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body go out at once: 40 ms a call otherwise

    def do_GET(self):
        self.reply(any_models.answer(self.path, {}))

    def do_POST(self):
        self.reply(any_models.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(400 if "error" in document else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="module")
def c_program(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("c")
    (folder / "curve.c").write_text(C_SOURCE)
    subprocess.run(["cc", "-O0", "-ffp-contract=off", "-o", "curve", "curve.c"], cwd=folder, check=True)
    return str(folder / "curve")


def rows_of(kind, engine):
    """The rows that an engine fits."""
    if not IS_BIG:
        return [row for row in range(N) if row % 50 != 7 or engine in HANGING]
    return list(range(min(N, max(8, int(MOST_S / (CALLS[engine] * CALL_S.get(kind, 1e-4)))))))


def run(folder, problem, executor, rows):
    """Summary table and directory of a campaign; `rows`: engine → rows that it fits."""
    shutil.copy(FILE, folder / FILE.name)
    stages = [
        {
            "name": engine,
            "problem": problem,
            "engine": ENGINES[engine],
            "expand": {"grid": {"problem.row": own}},
            "block": max(5, len(own) // 4),
        }
        for engine, own in rows.items()
    ]
    document = {"schema": "campaign/1", "name": "any", "stages": stages}
    (folder / "manifest.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "campaign", "submit", "manifest.json", "-d", "out", "--executor", executor]
    command += ["--profile", str(write_profile(folder))] if executor == "slurm-array" else []
    done = subprocess.run([*command, "--workers", "2"], cwd=folder, capture_output=True, text=True, timeout=1800)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return pd.read_parquet(folder / "out" / "tables" / "summary.parquet"), folder / "out"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    return run(folder, {"name": f"{FILE.name}:in_jax"}, "inline", {engine: list(range(N)) for engine in ENGINES})[0]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "executor"), TABLE)
def test_a_table_of_models(kind, executor, reference, tmp_path, request):
    problem = {"name": f"{FILE.name}:{kind}"}
    for needed in MARKS.keys() & {executor}:
        request.getfixturevalue(MARKS[needed].name)
    if kind == "umbridge":
        problem["url"] = request.getfixturevalue("server")
    if kind in ("c_program", "script"):
        problem["name"] = f"{FILE.name}:program"
        if kind == "script":
            (tmp_path / "curve.py").write_text(SCRIPT)
            problem["command"] = [sys.executable, "-S", str(tmp_path / "curve.py")]
        else:
            problem["command"] = [request.getfixturevalue("c_program")]
    engines = ENGINES if IS_BIG else SMALL[kind, executor]
    table, directory = run(tmp_path, problem, executor, {engine: rows_of(kind, engine) for engine in engines})
    assert len(table) == sum(len(rows_of(kind, engine)) for engine in engines)
    rows = table["problem.row"]
    raising, hanging = rows % 10 == 3, rows % 50 == 7
    assert (table.outcome[raising] == "error").all()
    assert (table.outcome[hanging] == "timeout").all()
    assert (table.status[~raising & ~hanging] == "ok").all()
    for row, message in zip(rows[raising], table.message[raising], strict=True):
        assert f"row {row} is bad" in message
        assert kind not in ("in_numpy", "batched", "with_if") or f"{FILE.name} line" in message
    assert table.message[hanging].str.contains(f"timeout_s = {any_models.TIMEOUT_S:g}").all()
    if kind in ("in_numpy", "batched", "with_if"):
        assert table.message[hanging].str.contains(f"{FILE.name} line").all()
    assert (table["metric.model_failures"][~raising & ~hanging] == 0).all()
    for engine in engines:
        good = table[(table.stage == engine) & ~raising & ~hanging].set_index("problem.row").sort_index()
        true = reference[reference.stage == engine].set_index("problem.row").sort_index().loc[good.index]
        compare(engine, good, true)
    check_predictions(directory, table[table.stage == "evaluate"], raising | hanging)


TOLERANCES = {  # of loss and theta; the last two end by tolerances of their own, on differences or without any
    "evaluate": (1e-12, 1e-6), "scan": (1e-12, 1e-6), "trf": (1e-9, 1e-6), "jacobian": (1e-12, 1e-6),
    "scipy-trf": (1e-9, 1e-6), "scipy-lbfgsb": (1e-7, 1e-4), "nelder-mead": (1e-6, 1e-3),
}  # fmt: skip


def compare(engine, good, true):
    if engine == "differential-evolution":  # other run ids, other random numbers: the same minimum
        np.testing.assert_allclose(good.loss, true.loss, atol=1e-5)
        return
    if engine == "ensemble":  # other run ids, other random numbers: the same posterior
        for name in ("amplitude", "rate"):
            pull = (good[f"theta.{name}"] - true[f"theta.{name}"]) / true[f"stderr.{name}"]
            assert abs(pull).median() < 1.0
        return
    loss, theta = TOLERANCES[engine]
    np.testing.assert_allclose(good.loss, true.loss, rtol=loss)
    for name in ("amplitude", "rate"):
        np.testing.assert_allclose(good[f"theta.{name}"], true[f"theta.{name}"], rtol=theta)
        if engine in ("trf", "jacobian", "scipy-trf"):
            np.testing.assert_allclose(good[f"stderr.{name}"], true[f"stderr.{name}"], rtol=1e-5)


def check_predictions(directory, table, is_bad):
    """The predictions of good runs are the curve to the last bit; those of failed runs are NaN."""
    seen = 0
    for program in (directory / "traces.zarr" / "evaluate").iterdir():
        if not program.is_dir():
            continue
        group = zarr.open_group(program, mode="r")
        arrays = dict(zip(group["run_id"][:].tolist(), group["model"][:], strict=True))
        for i, run_id in table.run_id.items():
            if run_id not in arrays:
                continue
            seen += 1
            expected = np.full(len(TIMES), np.nan) if is_bad[i] else 1.5 / (1.0 + 1.0 * TIMES)
            np.testing.assert_array_equal(arrays[run_id], expected)
    assert seen == len(table)
