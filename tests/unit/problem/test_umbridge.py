"""The UM-Bridge client against the server of the `umbridge` package, and against one that goes away."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import InvalidValue, Unavailable
from campaign.problem.foreign import ledger
from campaign.problem.umbridge import UmbridgeModel
from campaign.space import Parameter

PARAMETERS = [
    Parameter(name=name, initial=value) for name, value in (("amplitude", 2.0), ("rate", 0.8), ("offset", 0.5))
]
THETA = jnp.array([2.0, 0.8, 0.5])
TIMES = np.round(np.arange(40) * 5.0 / 39, 6)

PUBLISHED = """
import sys, umbridge
class Product(umbridge.Model):
    def __init__(self): super().__init__("product")
    def get_input_sizes(self, config): return [2, 1]
    def get_output_sizes(self, config): return [2]
    def __call__(self, parameters, config):
        (a, b), (c,) = parameters
        if a < 0: raise ValueError("a is negative")
        return [[a * b * config.get("factor", 1.0), c]]
    def supports_evaluate(self): return True
class Square(umbridge.Model):
    def __init__(self): super().__init__("square")
    def get_input_sizes(self, config): return [3]
    def get_output_sizes(self, config): return [1]
    def __call__(self, parameters, config): return [[sum(x * x for x in parameters[0])]]
    def supports_evaluate(self): return True
    def gradient(self, out_wrt, in_wrt, parameters, sens, config): return [2 * x * sens[0] for x in parameters[0]]
    def supports_gradient(self): return True
umbridge.serve_models([Product(), Square()], int(sys.argv[1]))
"""


@contextmanager
def serving(command):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def template():
    """The server that `campaign init umbridge` writes."""
    with serving([str(files("campaign.cli") / "templates" / "umbridge" / "server.py")]) as (url, _):
        yield url


def test_values_and_derivatives_are_those_of_the_closed_form(template):
    problem = UmbridgeModel(template, "decay", PARAMETERS, data=np.zeros(40), sigma=1.0)
    fading = np.exp(-0.8 * TIMES)
    np.testing.assert_allclose(problem.residuals(THETA), 2.0 * fading + 0.5, rtol=1e-14)
    jacobian = jax.jacfwd(problem.residuals)(THETA)  # by the server's ApplyJacobian: exact, not a difference
    np.testing.assert_allclose(jacobian, np.stack([fading, -2.0 * TIMES * fading, np.ones(40)], axis=1), rtol=1e-14)


def test_what_a_server_does_not_have_is_said(template):
    with pytest.raises(InvalidValue, match="has no model `growth`"):
        UmbridgeModel(template, "growth", PARAMETERS)
    with pytest.raises(InvalidValue, match="takes 3 numbers, and there are 2 parameters"):
        UmbridgeModel(template, "decay", PARAMETERS[:2])
    with pytest.raises(InvalidValue, match="is not the address of a server"):
        UmbridgeModel("localhost:4242", "decay", PARAMETERS)
    with pytest.raises(Unavailable, match=r"no UM-Bridge server answers at http://127\.0\.0\.1:1"):
        UmbridgeModel("http://127.0.0.1:1", "decay", PARAMETERS)


def test_a_server_that_goes_away_fails_the_run():
    with serving([str(files("campaign.cli") / "templates" / "umbridge" / "server.py")]) as (url, process):
        problem = UmbridgeModel(url, "decay", PARAMETERS, timeout_s=10.0)
        process.kill()
        process.wait()
        (run,) = ledger.open_runs([int(problem.handle)])
        assert np.isnan(ledger.values(np.array([THETA]), problem.handle[None], np.array([run]), 40)).all()
        (account,) = ledger.close_runs([run])
        assert account.failure.outcome == "error"
        assert account.failure.message.startswith(f"the server {url}: ")


def test_the_published_server_is_understood():
    with serving(["-c", PUBLISHED]) as (url, _):
        problem = UmbridgeModel(url, "product", PARAMETERS, config={"factor": 10.0})
        np.testing.assert_allclose(problem.predict(jnp.array([2.0, 3.0, 4.0]))["model"], [60.0, 4.0])
        square = UmbridgeModel(url, "square", PARAMETERS, gives="log_likelihood")
        np.testing.assert_allclose(square.log_likelihood(jnp.array([1.0, 2.0, 3.0])), 14.0)
        np.testing.assert_allclose(jax.grad(square.log_likelihood)(jnp.array([1.0, 2.0, 3.0])), [2.0, 4.0, 6.0])
        (run,) = ledger.open_runs([int(problem.handle)])
        ledger.values(np.array([[-1.0, 1.0, 1.0]]), problem.handle[None], np.array([run]), 2)
        (account,) = ledger.close_runs([run])
        assert account.failure.outcome == "error"
