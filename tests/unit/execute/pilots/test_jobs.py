"""The job of a pilot, for each queueing system."""

from __future__ import annotations

import pytest

from campaign.execute.queue.profiles import Profile


@pytest.mark.parametrize("system", ["pbs", "lsf", "sge"])
def test_other_queueing_systems_get_their_own_directives(tmp_path, system):
    from campaign.execute.pilots.jobs import pilot_job

    marks = {"pbs": "#PBS", "lsf": "#BSUB", "sge": "#$"}
    profile = Profile(system=system, partition="short", worker={"workers": 2, "cpus": 3, "memory_mb": 500})
    script = pilot_job(profile, "tls://a:1", "pilot1", tmp_path / "f", tmp_path).job_script()
    assert f"{marks[system]} -" in script
    assert "-m campaign.execute.pilots.pilot tls://a:1" in script
