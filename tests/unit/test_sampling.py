"""A sampler in this process: parts are one run, whatever ended a part, and what cannot be is said."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.science import (
    ChainStorage,
    InvalidValue,
    Parameter,
    Prior,
    Problem,
    Sampling,
    ThetaSpace,
    start_jax,
)

start_jax()


class Line(Problem):
    """A straight line through data with unit errors, and normal priors."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        x = jnp.arange(6.0)
        return -0.5 * jnp.sum((theta[0] + theta[1] * x - 0.5 * x) ** 2)


class Nowhere(Line):
    def log_likelihood(self, theta):
        return jnp.nan * theta[0]


def line(kind=Line):
    prior = Prior("normal", (0.0, 3.0))
    return kind(ThetaSpace(tuple(Parameter(name=n, initial=0.1, scale=0.2, prior=prior) for n in ("a", "b"))))


@pytest.mark.parametrize("engine", ["ensemble", "nuts"])
def test_two_parts_are_one_run(engine, tmp_path):
    options = {"warmup": 20} if engine == "nuts" else {"walkers": 8, "burn_in": 0.0}
    own = Sampling(problem=line(), engine=engine, options=options, seed=4)
    whole = own.run(60, thin=2)
    own.run(43, thin=2, path=tmp_path / "chain.bin")
    longer = own.resume(tmp_path / "chain.bin", 18)
    assert (longer.steps, longer.burn_in) == (60, options.get("warmup", 0))
    np.testing.assert_array_equal(longer.samples, whole.samples)
    np.testing.assert_array_equal(longer.log_probs, whole.log_probs)


def test_a_killed_sampler_goes_on(tmp_path):
    """Killed with a file that grows; rows written after the last state, and half a row, are dropped."""
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from test_sampling import line\n"
        "from campaign.science import Sampling\n"
        "slow = lambda info: time.sleep(0.05)\n"
        "Sampling(problem=line(), options={'walkers': 8, 'burn_in': 0.0}, seed=9)"
        ".run(3000, progress=slow, path=sys.argv[2], every=10)\n"
    )
    path = tmp_path / "chain.bin"
    process = subprocess.Popen([sys.executable, "-c", script, os.path.dirname(__file__), str(path)])
    while not (tmp_path / "chain.bin.state").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(path, "ab") as file:
        file.write(b"x" * 777)
    own = Sampling(problem=line(), options={"walkers": 8, "burn_in": 0.0}, seed=9)
    n = len(ChainStorage(path).load())
    assert 0 < n < 3000
    longer = own.resume(path, 200)
    whole = own.run(longer.steps)
    np.testing.assert_array_equal(longer.samples, whole.samples)
    assert longer.failures == whole.failures


def test_what_only_the_state_depends_on_is_compared_too(tmp_path):
    """`nuts` moves in units of the scale: its state means another place where that differs."""
    own = Sampling(problem=line(), engine="nuts", options={"warmup": 20, "chains": 2}, seed=4)
    own.run(40, path=tmp_path / "chain.bin")
    for other, words in (
        ({"scale": {"a": 0.5}}, "scale"),
        ({"options": {"warmup": 20, "chains": 2, "target_accept": 0.9}}, "option `target_accept` = 0.8, not 0.9"),
    ):
        with pytest.raises(InvalidValue, match=f"begun with {words}"):
            replace(own, **other).resume(tmp_path / "chain.bin", 10)


def test_a_start_without_a_density_names_the_parameters():
    with pytest.raises(InvalidValue, match="no finite posterior density") as error:
        Sampling(problem=line(Nowhere), options={"walkers": 8}).run(10)
    assert "a, b" in str(error.value.hint)


def test_impossible_numbers_of_steps_are_refused(tmp_path):
    with pytest.raises(InvalidValue, match="`every` is 0"):
        Sampling(problem=line()).run(10, path=tmp_path / "chain.bin", every=0)
