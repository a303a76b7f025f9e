"""The templates of foreign models run as `campaign init` writes them; what is not JAX is told before it runs."""

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from campaign.errors import InvalidValue
from campaign.problem.file import load_file_problem
from campaign.problem.traceable import require_traceable
from running import campaign, table


@contextmanager
def serving(script):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(script), str(port)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def fitted(folder):
    done = campaign("submit", folder / "manifest.json", "-d", folder / "results", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    found = table(folder / "results").to_pandas()
    assert (found.outcome == "converged").all()
    for name, value, error in (("amplitude", 1.981, 0.05), ("rate", 0.813, 0.031), ("offset", 0.502, 0.019)):
        assert abs(found[f"theta.{name}"] - value).max() < 3 * error
    return found


@pytest.mark.slow
@pytest.mark.parametrize("template", ["python", "program", "umbridge"])
def test_a_template_runs_as_it_is(template, tmp_path):
    folder = tmp_path / "mine"
    assert campaign("init", template, folder).returncode == 0
    if template != "umbridge":
        fitted(folder)
        return
    with serving(folder / "server.py") as port:
        manifest = folder / "manifest.json"
        document = json.loads(manifest.read_text())
        document["problem"]["url"] = f"http://127.0.0.1:{port}"
        manifest.write_text(json.dumps(document))
        fitted(folder)


MODEL = """
import equinox as eqx, jax.numpy as jnp, numpy as np
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


class Model(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return {expression}


def build() -> Model:
    return Model(ThetaSpace((Parameter(name="a", initial=1.0),)))
"""


@pytest.mark.parametrize(
    "expression", ["theta if theta[0] > 0 else -theta", "np.asarray(theta) ** 2", "float(theta[0])"]
)
def test_what_is_not_jax_is_said_with_its_line(expression, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODEL.format(expression=expression))
    plugin = load_file_problem(file, "build")
    with pytest.raises(InvalidValue) as caught:
        require_traceable(plugin.build(plugin.options()), plugin.name)
    assert caught.value.message == "the model of `mine.py:build` is not JAX (mine.py:11 in `model`)"
    assert caught.value.hint == "wrap it in PythonModel, see docs/my-model-is-not-jax.md"


def test_what_is_jax_passes(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODEL.format(expression="jnp.where(theta > 0, theta, -theta)"))
    plugin = load_file_problem(file, "build")
    require_traceable(plugin.build(plugin.options()), plugin.name)
