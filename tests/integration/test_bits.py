"""The same run gives the same bits whatever a process did with JAX before, and whatever its environment says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import campaign

FIT = """
import hashlib, json
import campaign
from campaign.fitting import fits

starts = [{"rate": 0.3 + 0.1 * i} for i in range(12)]
found = fits("decay", "trf", starts, options={"data_seed": 7})
chain = campaign.fit("decay", "ensemble", engine_options={"walkers": 8, "steps": 60}, options={"data_seed": 7})
numbers = [[f.theta, f.stderr, f.loss, f.n_steps] for f in [*found, chain]]
print(json.dumps(numbers))
"""

LONG = """
import json
import campaign
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from campaign.science import Parameter, Problem, ThetaSpace

class Waves(Problem):
    space: ThetaSpace = eqx.field(static=True)
    x: jax.Array
    y: jax.Array

    def residuals(self, theta):
        k = jnp.arange(theta.shape[0], dtype=theta.dtype)
        return jnp.cos(self.x[:, None] * k[None, :]) @ theta + 0.1 * jnp.sin(theta[0] * self.x) - self.y

def waves(d, n=50_000):
    random, x = np.random.default_rng(0), np.linspace(0, 3, n)
    y = np.cos(x[:, None] * np.arange(d)) @ random.normal(size=d) + random.normal(size=n)
    space = ThetaSpace(tuple(Parameter(name=f"t{i}", initial=0.1) for i in range(d)))
    return Waves(space, jnp.asarray(x), jnp.asarray(y))

starts = [{}, {"t0": 0.3}]
found = [*campaign.fits(waves(3), "jacobian", starts), *campaign.fits(waves(12), "trf", starts)]
print(json.dumps([[f.theta, f.stderr, f.loss, f.metric] for f in found]))
"""

# what a notebook, a problem file or a careless library may do first
DOORS = {
    "jax used first": "import jax.numpy as jnp; jnp.arange(3.0).sum().block_until_ready()",
    "float64 off after": "import campaign.problem, jax; jax.config.update('jax_enable_x64', False)",
    "other random numbers": (
        "import jax; jax.config.update('jax_threefry_partitionable', False);"
        "jax.config.update('jax_default_prng_impl', 'rbg')"
    ),
}
FLAGS = (
    "--xla_force_host_platform_device_count=3",
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=10",
)


def numbers(folder: Path, first: str = "", flags: str | None = None, fit: str = FIT, **more: str) -> str:
    """What `fit` prints in a process of its own that does `first` before, compiled anew."""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_ENABLE_X64")}
    environment |= more
    environment["CAMPAIGN_CACHE"] = str(folder / f"cache{abs(hash((first, flags, *more.items())))}")
    if flags is not None:
        environment["XLA_FLAGS"] = flags
    done = subprocess.run(
        [sys.executable, "-c", f"{first}\n{fit}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> str:
    text = numbers(tmp_path_factory.mktemp("fresh"))
    assert len(json.loads(text)) == 13
    return text


@pytest.mark.parametrize("door", DOORS)
def test_bits_do_not_depend_on_what_came_before(door, fresh, tmp_path):
    assert numbers(tmp_path, first=DOORS[door]) == fresh


@pytest.mark.parametrize("flags", FLAGS)
def test_bits_do_not_depend_on_flags_that_are_not_about_them(flags, fresh, tmp_path):
    assert numbers(tmp_path, flags=flags) == fresh


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path):
    """Long sums and products of resident data, which XLA's libraries would share among the threads of the process."""
    alone, shared = (numbers(tmp_path, fit=LONG, NPROC=n) for n in ("1", "2"))
    assert alone == shared


@pytest.mark.parametrize("n", [100, 3000])
def test_bits_do_not_depend_on_the_size_of_the_block(n):
    """A run alone, with another one, with eleven others: in blocks of 1, 2 and 12."""
    starts = [{"rate": 0.3 + 0.1 * i} for i in range(12)]

    def found(some):
        return campaign.fits("decay", "trf", some, options={"data_seed": 7, "n": n})

    def digits(fit):
        return fit.run_id, fit.theta, fit.stderr, fit.loss, fit.metric, fit.n_steps

    together = [digits(fit) for fit in found(starts)]
    assert [digits(fit) for fit in found(starts[:2])] == together[:2]
    assert [digits(found([start])[0]) for start in starts[:4]] == together[:4]


def test_the_options_of_a_program_change_its_code(tmp_path):
    """Our own option is at work: without the hook the program is another one."""
    script = """
import jax, jax.numpy as jnp
from campaign.engines import xla
def f(x):
    return jax.lax.while_loop(lambda c: c[0] < 50, lambda c: (c[0] + 1, jnp.sin(c[1]) + 1.0), (0, x))[1]
lowered = jax.jit(f).lower(jnp.ones((40, 40)))
assert xla._hook()
with_option = xla.compile_lowered(lowered).as_text()
without = lowered.compile(compiler_options=xla._OPTIONS).as_text()
assert "xla_cpu_small_call" in with_option, with_option
assert "xla_cpu_small_call" not in without
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
