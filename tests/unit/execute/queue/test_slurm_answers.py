"""What SLURM answers to a submission."""

from __future__ import annotations

import os

import pytest

from campaign.errors import Unavailable
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.slurm import Away, Full


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Invalid account or account/partition combination specified", "Invalid account"),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", "accounting/QOS"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_own_words(tmp_path, monkeypatch, said, reason):
    """The loopback SLURM has no accounts: here `sbatch` says what a site's would say."""
    (tmp_path / "sbatch").write_text(
        f'#!/bin/sh\necho "sbatch: error: Batch job submission failed: {said}" >&2; exit 1'
    )
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Unavailable, match=reason) as caught:
        slurm_queue.submit("#!/bin/sh\n#SBATCH --time=1\n#SBATCH --partition=gpu\n#SBATCH -A nobody\n", "name")
    assert caught.value.message == f"sbatch: Batch job submission failed: {said} (partition `gpu`, account `nobody`)"
    assert (caught.value.exit_code, "account" in caught.value.hint) == (6, True)


FAILED = "Batch job submission failed: "

POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (["AssocGrpSubmitJobsLimit", POLICY], Full, "limit of your account"),
        (["QOSMaxSubmitJobPerUserLimit", POLICY], Full, "limit of your account"),
        ([FAILED + "Unable to contact slurm controller (connect failure)"], Away, "controller does not answer"),
        ([FAILED + "Socket timed out on send/recv operation"], Away, "controller does not answer"),
        (["QOSMaxWallDurationPerJobLimit", POLICY], Unavailable, "`time_s`"),
        ([FAILED + "Invalid partition name specified"], Unavailable, "check partition"),
    ],
)
def test_a_limit_an_absent_controller_and_a_typo_are_three_things(said, kind, hint):
    error = slurm_queue._error("sbatch", "\n".join(f"sbatch: error: {line}" for line in said))
    assert type(error) is kind
    assert hint in error.hint
    assert getattr(error, "by_others", False) == ("Grp" in said[0])
