"""A problem package of a third party, and one with a command, installed and used through the same commands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

PLUGIN = '''
"""A pendulum: period against length. Nothing but public names of campaign."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array
from pydantic import Field

from campaign.science import Options, Parameter, Problem, ProblemPlugin, ThetaSpace

SPACE = ThetaSpace((Parameter(name="g", initial=9.0, unit="m/s2", lower=1.0, upper=30.0),))
LENGTHS = (0.25, 0.5, 1.0, 2.0)  # m


class PendulumOptions(Options):
    sigma: float = Field(0.01, gt=0, description="error of a period [s]")


class Pendulum(Problem):
    space: ThetaSpace = eqx.field(static=True)
    sigma: Array

    def residuals(self, theta):
        length = jnp.array(LENGTHS)
        seen = 2 * jnp.pi * jnp.sqrt(length / 9.81)
        return (2 * jnp.pi * jnp.sqrt(length / theta[0]) - seen) / self.sigma


def build(options):
    return Pendulum(SPACE, jnp.asarray(options.sigma))


PENDULUM = ProblemPlugin(
    name="pendulum", version="1", options=PendulumOptions, build=build, space=lambda options: SPACE
)
'''

COMMAND = '''
import click


@click.command("swing")
def command():
    """Say hello."""
    click.echo("tick tock")
'''

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "pendulum"
version = "1.0"

[project.entry-points."campaign.problems"]
pendulum = "pendulum.plugin:PENDULUM"
broken = "pendulum.nowhere:NOTHING"

[project.entry-points."campaign.commands"]
swing = "pendulum.command:command"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which pip has installed the package."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pendulum").mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "pendulum" / "__init__.py").write_text("")
    (source / "pendulum" / "plugin.py").write_text(PLUGIN)
    (source / "pendulum" / "command.py").write_text(COMMAND)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    arguments = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def campaign(site, *arguments, folder=None):
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "campaign", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300)


def test_a_foreign_problem_runs(site, tmp_path):
    document = {
        "schema": "campaign/1",
        "name": "swings",
        "problem": {"name": "pendulum"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.sigma": [0.01, 0.02], "start.g": [5.0, 9.0, 20.0]}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    done = campaign(site, "submit", "manifest.json", "-d", "r", "--executor", "inline", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet")
    assert len(table) == 6
    assert (table["theta.g"] - 9.81).abs().max() < 1e-6
    # dT/dg = −π √l g^(−3/2), so sd(g) = σ g^(3/2) / (π √Σl), Σl = 3.75 m
    expected = table["problem.sigma"] * 9.81**1.5 / (3.141592653589793 * 3.75**0.5)
    assert ((table["stderr.g"] / expected - 1).abs() < 1e-6).all()


def test_a_foreign_problem_is_listed_and_described(site):
    assert "pendulum" in campaign(site, "problems").stdout
    document = json.loads(campaign(site, "problems", "pendulum", "--json").stdout)
    assert document["parameters"][0]["unit"] == "m/s2"
    assert document["options"][0]["name"] == "sigma"


def test_a_package_that_cannot_be_imported_hides_nobody(site):
    done = campaign(site, "problems")
    assert done.returncode == 0
    assert "decay" in done.stdout
    assert "warning: the problem `broken` (pendulum.nowhere:NOTHING) cannot be imported" in done.stderr
    named = campaign(site, "problems", "broken")
    assert named.returncode == 2
    assert "error: the problem `broken`" in named.stderr


def test_a_foreign_command_is_a_command(site):
    assert campaign(site, "swing").stdout == "tick tock\n"
    assert "swing" in campaign(site, "--help").stdout


def test_the_package_is_not_there_without_its_folder():
    done = subprocess.run([sys.executable, "-m", "campaign", "problems"], capture_output=True, text=True, timeout=120)
    assert "pendulum" not in done.stdout


def test_a_problem_file_beside_the_manifest_runs_and_is_kept(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "campaign", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    assert run("init", "file", "mine").returncode == 0
    done = run("submit", "mine/manifest.json", "-d", "r", "--executor", "inline")
    assert done.returncode == 0, done.stderr
    table = pandas.read_parquet(tmp_path / "r" / "tables" / "summary.parquet")
    assert len(table) == 60
    # 50 points on 0 … 5 s: sd(slope) = σ / √Σ(t − mean)², Σ(t − mean)² = 50·(50² − 1)/12 · (5/49)²
    expected = table["problem.noise"] / (50 * (50**2 - 1) / 12 * (5 / 49) ** 2) ** 0.5
    assert ((table["stderr.slope"] / expected - 1).abs() < 1e-6).all()
    pulls = (table["theta.slope"] - 2.0) / table["stderr.slope"]
    assert pulls.abs().max() < 5
    (snapshot,) = Path(tmp_path, "r", "inputs").rglob("line.py")
    assert snapshot.read_bytes() == (tmp_path / "mine" / "line.py").read_bytes()
    (tmp_path / "mine" / "line.py").write_text("raise RuntimeError('edited')")
    assert run("verify", "r").returncode == 0  # the copy counts, not the file
