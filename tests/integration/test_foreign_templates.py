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


@pytest.mark.long
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
    assert caught.value.message == "the model of `mine.py:build` is not JAX (mine.py:11 in `residuals`)"
    assert caught.value.hint == "wrap it in PythonModel, see docs/my-model-is-not-jax.md"


def test_what_is_jax_passes(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODEL.format(expression="jnp.where(theta > 0, theta, -theta)"))
    plugin = load_file_problem(file, "build")
    require_traceable(plugin.build(plugin.options()), plugin.name)


RETURNS = """
import equinox as eqx, jax.numpy as jnp
from campaign.science import Parameter, Problem, ThetaSpace


class Model(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return {residuals}

    def predict(self, theta):
        return {predict}

    def derived(self, theta):
        return {derived}

    def coordinates(self):
        return {coordinates}


def build() -> Model:
    return Model(ThetaSpace((Parameter(name="a", initial=1.0),)))
"""
GOOD = {"residuals": "theta", "predict": "{'flux': theta}", "derived": "{'b': theta[0]}", "coordinates": "{}"}


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        ("residuals", "theta[0]", "returns an array of shape (): it must be a vector"),
        ("residuals", "theta[:, None]", "returns an array of shape (1, 1): it must be a vector"),
        ("residuals", "theta[:0]", "returns an array of shape (0,): it must be a vector of at least one residual"),
        ("derived", "{'b': theta}", "gives `b` as an array of shape (1,): it must be one number"),
        ("derived", "theta", "returns an array of shape (1,): it must be a dictionary"),
        ("predict", "{'flux/blue': theta}", "names an array 'flux/blue': a name is not empty"),
        ("predict", "{'..': theta}", "names an array '..'"),
        ("predict", "{'': theta}", "names an array ''"),
        ("predict", "{'zarr.json': theta}", "names an array 'zarr.json'"),
        ("predict", "{'x' * 300: theta}", "300 bytes are too many for a file name, 200 at most"),
        ("predict", "{'loss': theta}", "names an array `loss`: that name is taken"),
        ("predict", "[theta]", "returns list: it must be a dictionary of arrays"),
        ("coordinates", "{'flux': {'flux': [1.0]}}", "`flux` is an array of `predict` and a dimension"),
        ("coordinates", "{'flux': {'run_id': [1.0]}}", "names a dimension `run_id`: that name is taken"),
    ],
)
def test_what_cannot_be_kept_is_said_with_its_line(method, value, said, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RETURNS.format(**GOOD | {method: value}))
    plugin = load_file_problem(file, "build")
    with pytest.raises(InvalidValue) as caught:
        require_traceable(plugin.build(plugin.options()), plugin.name)
    lines = [line.strip() for line in file.read_text().splitlines()]
    head = "def coordinates(self):" if method == "coordinates" else f"def {method}(self, theta):"
    place = f"`{method}` of `mine.py:build` (mine.py:{lines.index(head) + 1})"
    assert caught.value.message.startswith(place)
    assert said in caught.value.message
