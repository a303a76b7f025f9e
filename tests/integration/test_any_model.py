"""Every kind of model with every engine: the runs whose model fails fail, and all others give the JAX model's numbers.

A campaign a kind of model and executor, a stage an engine. ``ANY_MODEL_RUNS`` (20) and ``ANY_MODEL_EXECUTORS``
(inline,dask; also mpi, slurm-array) make the table bigger.
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

N = int(os.environ.get("ANY_MODEL_RUNS", "20"))
EXECUTORS = os.environ.get("ANY_MODEL_EXECUTORS", "inline,dask").split(",")
IS_BIG = "ANY_MODEL_RUNS" in os.environ
ENGINES = {
    "evaluate": {"name": "evaluate"},
    "scan": {"name": "scan", "grid": {"rate": {"linspace": [0.5, 1.1, 4]}}},
    "trf": {"name": "trf"},
    "jacobian": {"name": "jacobian"},
    "ensemble": {"name": "ensemble", "walkers": 8, "steps": 60, "burn_in": 20, "thin": 1},
}
KINDS = ("in_numpy", "batched", "with_if", "c_program", "script", "umbridge")
SLOW = {"script": ("evaluate", "trf"), "c_program": ("evaluate", "scan", "trf", "jacobian")}  # of small tables
TABLE = [
    pytest.param(kind, executor, marks=pytest.mark.mpi if executor == "mpi" else ())
    for kind in KINDS
    for executor in EXECUTORS
    if IS_BIG or executor == "inline" or kind in ("with_if", "c_program")
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


def run(folder, problem, executor, engines, n):
    """Summary table and directory of a campaign over the rows."""
    shutil.copy(FILE, folder / FILE.name)
    stages = [
        {"name": name, "problem": problem, "engine": ENGINES[name], "expand": {"grid": {"problem.row": list(range(n))}}}
        for name in engines
    ]
    document = {
        "schema": "campaign/1",
        "name": "any",
        "stages": [stage | {"block": max(5, n // 4)} for stage in stages],
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "campaign", "submit", "manifest.json", "-d", "out", "--executor", executor]
    done = subprocess.run([*command, "--workers", "2"], cwd=folder, capture_output=True, text=True, timeout=1800)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return pd.read_parquet(folder / "out" / "tables" / "summary.parquet"), folder / "out"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jax")
    return run(folder, {"name": f"{FILE.name}:in_jax"}, "inline", list(ENGINES), N)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "executor"), TABLE)
def test_a_table_of_models(kind, executor, reference, tmp_path, request):
    problem = {"name": f"{FILE.name}:{kind}"}
    if kind == "umbridge":
        problem["url"] = request.getfixturevalue("server")
    if kind in ("c_program", "script"):
        problem["name"] = f"{FILE.name}:program"
        if kind == "script":
            (tmp_path / "curve.py").write_text(SCRIPT)
            problem["command"] = [sys.executable, "-S", str(tmp_path / "curve.py")]
        else:
            problem["command"] = [request.getfixturevalue("c_program")]
    engines = list(ENGINES) if IS_BIG else SLOW.get(kind, list(ENGINES))
    table, directory = run(tmp_path, problem, executor, engines, N)
    rows = table["problem.row"]
    raising, hanging = rows % 10 == 3, rows % 50 == 7
    assert (table.outcome[raising] == "error").all()
    assert (table.outcome[hanging] == "timeout").all()
    assert (table.status[~raising & ~hanging] == "ok").all()
    for row, message in zip(rows[raising], table.message[raising], strict=True):
        assert f"row {row} is bad" in message
        assert kind not in ("in_numpy", "batched", "with_if") or f"{FILE.name} line" in message
    assert table.message[hanging].str.contains("timeout_s = 4").all()
    if kind in ("in_numpy", "batched", "with_if"):
        assert table.message[hanging].str.contains(f"{FILE.name} line").all()
    assert (table["metric.model_failures"][~raising & ~hanging] == 0).all()
    for engine in engines:
        good = table[(table.stage == engine) & ~raising & ~hanging].set_index("problem.row").sort_index()
        true = reference[reference.stage == engine].set_index("problem.row").sort_index().loc[good.index]
        compare(engine, good, true)
    check_predictions(directory, table[table.stage == "evaluate"], raising | hanging)


def compare(engine, good, true):
    if engine == "ensemble":  # other run ids, other random numbers: the same posterior
        for name in ("amplitude", "rate"):
            pull = (good[f"theta.{name}"] - true[f"theta.{name}"]) / true[f"stderr.{name}"]
            assert abs(pull).median() < 1.0
        return
    tolerance = {"evaluate": 1e-12, "scan": 1e-12, "trf": 1e-9, "jacobian": 1e-12}[engine]
    np.testing.assert_allclose(good.loss, true.loss, rtol=tolerance)
    for name in ("amplitude", "rate"):
        np.testing.assert_allclose(good[f"theta.{name}"], true[f"theta.{name}"], rtol=1e-6)
        if engine in ("trf", "jacobian"):
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
    assert seen == N
