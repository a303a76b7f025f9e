"""Ctrl-C twice gives the prompt back, even while a model has the interpreter and never comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from running import campaign, command, table, write_manifest

MODEL = """
import ctypes
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace


class Level(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: jax.Array

    def residuals(self, theta):
        def look(y):
            if y == 1 and not Path({gate!r}).with_name("through").exists():
                while not list(Path({gate!r}).parent.glob("c/summaries/*/*.jsonl")):  # of the run before
                    time.sleep(0.05)
                Path({gate!r}).touch()
                lock = ctypes.create_string_buffer(128)
                ctypes.CDLL(None).pthread_mutex_lock(lock)
                ctypes.PyDLL(None).pthread_mutex_lock(lock)  # waits for ever, and keeps the interpreter
            return np.float64(0.0)

        return theta[:1] - self.y + jax.pure_callback(look, jax.ShapeDtypeStruct((), float), self.y,
                                                       vmap_method="sequential")


def level(y: float = 0.0) -> Level:
    return Level(ThetaSpace((Parameter(name="a", initial=1.0),)), jnp.asarray(y))
"""


def test_twice_ends_a_command_whose_model_keeps_the_interpreter(tmp_path):
    gate = tmp_path / "gate"
    (tmp_path / "own.py").write_text(MODEL.format(gate=str(gate)))
    document = {
        "schema": "campaign/1",
        "name": "stuck",
        "problem": {"name": "own.py:level"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.y": {"range": [0, 3, 1]}}},
        "block": 1,
    }
    start = command("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-e", "inline", "-q")
    process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 300
    while not gate.exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    for _ in range(2):  # as a terminal does: to all processes of the group
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "finished blocks kept: 1" in said
    assert "campaign resume" in said
    gate.with_name("through").touch()
    done = campaign("resume", tmp_path / "c", "-q", "-e", "inline")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "c").column("theta.a").to_pylist() == [0.0, 1.0, 2.0]
