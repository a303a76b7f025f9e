"""Profiles of clusters: those that are shipped, and what is wrong with a user's."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from campaign.errors import InvalidValue, UnknownName
from campaign.execute.queue.profiles import Profile, load_profile, profile_names


def test_every_shipped_profile_can_be_read():
    assert {"juwels-booster", "loopback", "lumi-g", "perlmutter-gpu"} <= set(profile_names())
    assert load_profile("perlmutter-gpu").worker.gpus == 4
    assert load_profile("lumi-g").worker.workers == 8


def test_a_wrong_profile_says_where_and_what(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('partition = "main"\n[worker]\nworkerz = 3\n')
    with pytest.raises(InvalidValue, match=r"mine\.toml, `worker\.workerz`: unknown key.*did you mean `workers`"):
        load_profile(str(file))
    with pytest.raises(UnknownName, match=r"no profile file .*other\.toml.*`loopback`"):
        load_profile(str(tmp_path / "other.toml"))
    file.write_text("partition = ")
    with pytest.raises(InvalidValue, match="not TOML"):
        load_profile(str(file))
    with pytest.raises(UnknownName, match="did you mean `loopback`"):
        load_profile("loopbac")
    with pytest.raises(ValidationError):
        Profile(worker={"workers": 0})


@pytest.mark.parametrize(
    "directive", ["--array=0-9%2", "-a 0-3", "--job-name=mine", "-J mine", "--output=x", "--signal=USR1"]
)
def test_what_campaign_finds_and_stops_jobs_by_is_not_a_users_option(directive):
    with pytest.raises(ValidationError, match="is set by campaign; leave it out"):
        Profile(worker={"directives": [directive]})
