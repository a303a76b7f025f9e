"""What is said of a directory that has no plan yet."""

from __future__ import annotations

import pytest

from campaign.analysis.handle import open_campaign
from campaign.errors import Incomplete, UnknownName
from campaign.store.layout import Layout
from campaign.store.lease import acquire
from campaign.store.records import publish_json


def test_a_folder_is_not_a_campaign(tmp_path):
    with pytest.raises(UnknownName, match="is not a campaign"):
        open_campaign(tmp_path)


def test_a_driver_that_plans_is_named(tmp_path):
    with acquire(Layout(tmp_path)), pytest.raises(Incomplete, match="is being planned, by process") as found:
        open_campaign(tmp_path)
    assert "campaign watch" in (found.value.hint or "")


def test_a_driver_that_ended_before_it_had_planned(tmp_path):
    publish_json(Layout(tmp_path).identity, {"schema": "campaign.identity/1"})
    with pytest.raises(Incomplete, match="has no plan: its driver ended") as found:
        open_campaign(tmp_path)
    assert f"submit MANIFEST -d {tmp_path}" in (found.value.hint or "")
