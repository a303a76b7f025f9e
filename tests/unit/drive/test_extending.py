"""Which stage gets more steps, and why none does."""

from __future__ import annotations

import json

import pytest

from campaign.drive.extending import extended
from campaign.errors import Incomplete, UsageError
from campaign.manifest.load import loads
from campaign.store.layout import Layout

CHAIN = {"name": "chain", "problem": {"name": "gaussian"}, "engine": {"name": "ensemble", "steps": 100}}
FIT = {"name": "fit", "problem": {"name": "decay"}, "engine": {"name": "evaluate"}}


def manifest(*stages):
    return loads(json.dumps({"schema": "campaign/1", "name": "t", "stages": list(stages)}), source="t.json")


@pytest.mark.parametrize(
    ("stages", "stage", "message"),
    [
        ([FIT], None, "the engine `evaluate` of stage `fit` has no number of steps"),
        ([FIT, CHAIN], "fit", "the engine `evaluate` of stage `fit` has no number of steps"),
        ([CHAIN, CHAIN | {"name": "other"}], None, "the stages `chain`, `other` have a number of steps"),
        ([CHAIN | {"expand": {"grid": {"engine.steps": [5, 6]}}}], None, "`engine.steps` differs between the runs"),
    ],
)
def test_what_cannot_be_extended(tmp_path, stages, stage, message):
    with pytest.raises(UsageError) as caught:
        extended(Layout(tmp_path), manifest(*stages), 200, stage)
    assert message in str(caught.value)


def test_the_only_stage_with_steps_is_meant_and_must_be_finished(tmp_path):
    with pytest.raises(Incomplete, match="stage `chain` is not finished"):
        extended(Layout(tmp_path), manifest(FIT, CHAIN), 200, None)
