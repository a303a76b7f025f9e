"""What one run alone says of its model: only what the model's own code does wrong."""

from __future__ import annotations

import json
import sys

import pytest

from campaign import touching
from campaign.drive.next_part import planned
from campaign.last_words import Words
from campaign.manifest.load import loads
from campaign.schedule.keeping import placed
from campaign.store import plan as plans
from campaign.store.claim import claim
from campaign.store.layout import BlockTask, Layout
from campaign.work.preflight import first_failure, main

SOURCE = """
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from campaign.errors import Unavailable
from campaign.science import Parameter, Problem, ThetaSpace, Varying

class Mean(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: np.ndarray

    def residuals(self, theta):
        return theta[0] - self.y

def mean(k: Annotated[int, Varying()] = 0) -> Mean:
    if k == 1:
        raise ValueError("no data")
    if k == 2:
        raise SystemExit(3)
    if k == 3:
        raise MemoryError("8 GB")
    if k == 4:
        raise Unavailable("the archive is away")
    return Mean(ThetaSpace((Parameter(name="a", initial=0.0),)), jnp.asarray([jnp.nan if k == 5 else 1.0]))
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Run k does what its number says; two runs a block."""
    folder = tmp_path_factory.mktemp("preflight")
    (folder / "p.py").write_text(SOURCE)
    text = {"schema": "campaign/1", "name": "t", "problem": {"name": "p.py:mean"}, "engine": {"name": "evaluate"}}
    text |= {"expand": {"list": [{"problem.k": k} for k in range(6)]}, "block": 2}
    layout = Layout(folder / "c")
    layout.root.mkdir()
    claim(layout, "t", folder=folder, mode="packed", checkpoint_s=None)
    manifest = loads(json.dumps(text), folder=folder, source="t.json")
    plans.write_part(layout, placed(planned(layout, manifest, manifest.stages[0]), layout, None))
    return layout.root


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """The file of last words that a driver gives to the process."""
    with (tmp_path / "words").open("ab", buffering=0) as file:
        monkeypatch.setitem(touching._state, "words", Words(file))
        yield tmp_path / "words"


@pytest.mark.parametrize(
    ("k", "said"),
    [
        (0, None),
        (1, "ValueError: no data (p.py:19 in `mean`)"),
        (2, "SystemExit: 3 (p.py:21 in `mean`)"),
        (4, None),  # what is missing here may be there where the runs go
        (5, None),  # a model that gives NaN is for the records to say
    ],
)
def test_only_the_doing_of_the_models_code_is_told(directory, parent, k, said):
    found = first_failure(directory, BlockTask("main", 0, k // 2), k % 2)
    assert found == said
    assert parent.read_bytes() == b""  # what was called has come back
    assert not any((directory / name).exists() for name in ("summaries", "checkpoints", "traces.zarr", "events"))


def test_it_is_started_by_a_driver_alone(monkeypatch):
    monkeypatch.delenv("CAMPAIGN_WORDS", raising=False)
    monkeypatch.setattr(sys, "argv", ["preflight", "c", "main", "0", "0", "0"])
    with pytest.raises(SystemExit, match="this is started by a driver"):
        main()
