"""Why jobs wait: what passes by itself, and what never does."""

from __future__ import annotations

import pytest

from campaign.execute.queue.reasons import verdict


@pytest.mark.parametrize(
    "reason",
    [
        *("Priority", "Resources", "Licenses", "Dependency", "JobHeldUser", "BeginTime", "None"),
        *("QOSMaxJobsPerUserLimit", "QOSMaxCpuPerUserLimit", "QOSMaxSubmitJobPerUserLimit", "AssocMaxJobsLimit"),
        *("AssocGrpCpuLimit", "QOSGrpCPURunMinutesLimit", "(ReqNodeNotAvail, UnavailableNodes:node1)"),
    ],
)
def test_what_passes_by_itself_is_waited_for(reason):
    assert verdict(reason) is None


@pytest.mark.parametrize(
    ("reason", "what", "key"),
    [
        ("QOSMaxCpuPerJobLimit", "more than the most that your QOS allows", "`cpus`"),
        ("AssocMaxNodePerJobLimit", "more than the most that your account allows", "`nodes`"),
        ("QOSMaxMemoryPerJob", "more than the most", "`memory_mb`"),
        ("QOSMaxGRESPerNode", "more than the most", "`gpus`"),
        ("AssocMaxWallDurationPerJobLimit", "more than the most", "`time_s`"),
        ("QOSMaxCPUMinutesPerJobLimit", "more than the most", "`time_s`"),
        ("QOSMinGRES", "less than the least", "`gpus`"),
        ("PartitionTimeLimit", "PartitionTimeLimit", "`time_s`"),
        ("AssocGrpCPUMinutesLimit", "allocation of this account is used up", "`account`"),
        ("QOSGrpGRESMinutes", "allocation of this QOS is used up", "`qos`"),
        ("AssocGrpWallLimit", "used up", "`account`"),
    ],
)
def test_what_never_passes_says_what_to_change(reason, what, key):
    found = verdict(reason)
    assert what in found.what
    assert reason in found.what
    assert key in found.hint
