"""A small campaign with every kind of file that a directory can hold, and the ways in which a file can be harmed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

PROBLEM = """
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp

from campaign.problem.base import Problem
from campaign.problem.data import columns
from campaign.registry import DataFile, Options, ProblemPlugin
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace((Parameter(name="a", initial=0.0, unit="m"), Parameter(name="b", initial=0.0, unit="m/s")))
MIDDLE = ThetaSpace((Parameter(name="middle", initial=0.0),))


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    time: jnp.ndarray
    height: jnp.ndarray

    def residuals(self, theta):
        return (theta[0] + theta[1] * self.time - self.height) / 0.1

    def predict(self, theta):
        return {"curve": theta[0] + theta[1] * self.time}

    def coordinates(self):
        return {"curve": {"time": self.time}}

    def units(self):
        return {"curve": "m", "time": "s"}


def line(data: Annotated[str, DataFile()] = "obs.csv") -> Line:
    time, height = columns(data, "time", "height")
    return Line(SPACE, jnp.asarray(time), jnp.asarray(height))


line.version = "1"


class Middle(Problem):
    space: ThetaSpace = eqx.field(static=True)
    slopes: jnp.ndarray

    def residuals(self, theta):
        return theta[0] - self.slopes


MEDIAN = ProblemPlugin(
    name="middle",
    version="1",
    options=Options,
    build=lambda options, gathered: Middle(MIDDLE, jnp.asarray(gathered["theta.b"])),
    space=lambda options: MIDDLE,
    gather=("theta.*",),
)
"""
DATA = "time,height\n0,1.02\n1,2.9\n2,5.1\n3,6.97\n4,9.05\n"
MANIFEST = {
    "schema": "campaign/1",
    "name": "damage",
    "seed": 5,
    "stages": [
        {
            "name": "fit",
            "problem": {"name": "line.py:line"},
            "engine": {"name": "trf", "max_steps": 30, "chunk_steps": 1},
            "expand": {"grid": {"start.a": [0.0, 1.0, 2.0], "start.b": [0.0, 4.0]}},
            "keep_state": True,
            "block": 2,
        },
        {
            "name": "sample",
            "start": {"from": "fit", "pick": "best"},
            "problem": {"name": "line.py:line"},
            "engine": {"name": "ensemble", "walkers": 8, "steps": 60},
            "replicates": 2,
            "keep_state": True,
            "block": 1,
        },
        {
            "name": "curve",
            "start": {"from": "fit", "pick": "all"},
            "problem": {"name": "line.py:line"},
            "engine": {"name": "evaluate"},
            "block": 4,
        },
        {
            "name": "middle",
            "start": {"from": "fit", "pick": "group"},
            "problem": {"name": "line.py:MEDIAN"},
            "engine": {"name": "trf"},
        },
    ],
    "execution": {"executor": "inline", "layout": "directories"},
}


def write(folder: Path) -> Path:
    """Problem, data and manifest; the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "line.py").write_text(PROBLEM)
    (folder / "obs.csv").write_text(DATA)
    path = folder / "manifest.json"
    path.write_text(json.dumps(MANIFEST, indent=1))
    return path


def kind_of(relative: str) -> str:
    """A file's path without what tells it from its likes: hashes, numbers, hosts."""
    if relative.startswith("events/"):
        return "events/*.jsonl"
    if relative.startswith("runs/"):
        return "runs/*/" + relative.rpartition("/")[2]
    parts = [re.sub(r"^[0-9a-f]{12,32}(-\d+)?$", "*", part) for part in relative.split("/")]
    name, dot, suffix = parts[-1].partition(".")
    parts[-1] = ("*" if re.fullmatch(r"[0-9a-f]{12,32}|\d+(-\d+)?", name) else name) + dot + suffix
    return re.sub(r"/c(/[\d*]+)+$", "/c/*", "/".join(parts))


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def garbage(path: Path) -> None:
    """A line that is not the file's own: in the middle of a text, at the end of other files."""
    data = path.read_bytes()
    is_text = path.suffix in (".json", ".jsonl", ".py", ".csv")
    at = data.find(b"\n", len(data) // 2) + 1 if is_text else len(data)
    path.write_bytes(data[:at] + b"\x16 not of this file\n" + data[at:])


def flipped(path: Path) -> None:
    """One bit of a byte near the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) * 4 // 7] ^= 0x01
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARMS: tuple[Callable[[Path], None], ...] = (missing, truncated, garbage, flipped, empty)
