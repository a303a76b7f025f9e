"""What SLURM says, and what is said to SLURM: reasons, refusals, names, options, job scripts. Nothing is submitted."""

from __future__ import annotations

import subprocess

import pytest
from pydantic import ValidationError

from campaign.drive.detach import driver_script
from campaign.errors import Unavailable
from campaign.execute.devices import isa_environment
from campaign.execute.pilots.jobs import pilot_job
from campaign.execute.pilots.keeper import Keeper
from campaign.execute.queue import slurm as slurm_queue
from campaign.execute.queue.array import ArrayExecutor, black_holes
from campaign.execute.queue.patience import AGAIN_S
from campaign.execute.queue.profiles import Profile, option_of
from campaign.execute.queue.reasons import verdict
from campaign.execute.queue.scripts import log_option, render
from campaign.execute.queue.slurm import Away, Ending, Full, JobState
from campaign.store.layout import BlockTask, Layout


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


# --- reasons ----------------------------------------------------------------------------------------------------------


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


FAILED = "Batch job submission failed: "
POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (["AssocGrpSubmitJobsLimit", POLICY], Full, "limit of your account"),
        (["QOSMaxSubmitJobPerUserLimit", POLICY], Full, "limit of your account"),
        ([FAILED + "Unable to contact slurm controller (connect failure)"], Away, "controller is away"),
        ([FAILED + "Socket timed out on send/recv operation"], Away, "controller is away"),
        (["QOSMaxWallDurationPerJobLimit", POLICY], Unavailable, "`time_s`"),
        ([FAILED + "Invalid partition name specified"], Unavailable, "check partition"),
    ],
)
def test_a_limit_an_absent_controller_and_a_typo_are_three_things(said, kind, hint):
    error = slurm_queue._error("sbatch", "\n".join(f"sbatch: error: {line}" for line in said))
    assert type(error) is kind
    assert hint in error.hint
    assert getattr(error, "by_others", False) == ("Grp" in said[0])


# --- the keeper -------------------------------------------------------------------------------------------------------


class Site:
    """A cluster that takes jobs, or raises what it is told to."""

    def __init__(self, **changes):
        self.answers: list = []
        self.submitted: list[tuple[str, tuple[str, ...]]] = []
        self.cancelled: list[str] = []
        self.said: list[str] = []
        self.nodes: dict[str, str] = {}
        self.keeper = Keeper(
            submit=self.submit, cancel=self.cancelled.extend, explain=lambda pilot: f"log of {pilot.job}",
            is_fault=lambda _: True, where=lambda pilot: self.nodes.get(pilot.job, ""), say=self.said.append,
            start_s=60.0, **changes,
        )  # fmt: skip

    def submit(self, name, avoided):
        if self.answers and isinstance(answer := self.answers.pop(0), Exception):
            raise answer
        self.submitted.append((name, avoided))
        return str(100 + len(self.submitted))


def running(job, node="n1"):
    return JobState(job=job, state="RUNNING", reason="None", node=node)


OTHERS = JobState(job="9", state="RUNNING", reason="None", node="n9", name="somebody's")


def test_a_refused_replacement_leaves_the_pilots_at_work_alone_and_is_tried_again():
    site = Site()
    site.keeper.look(0, 2, [], [])
    at_work = [running("101"), running("102"), OTHERS]
    site.keeper.look(3, 2, at_work, ["pilot1-0-7", "pilot2-0-8"])
    site.answers = [Full("QOSMaxSubmitJobPerUserLimit"), Full("QOSMaxSubmitJobPerUserLimit")]
    for now in (6, 9, 12):
        site.keeper.look(now, 2, [running("101"), OTHERS], ["pilot1-0-7"])
    assert list(site.keeper.pilots) == ["pilot1"]
    assert not site.cancelled
    assert len(site.said) == 1
    site.keeper.look(9 + AGAIN_S, 2, [running("101"), OTHERS], ["pilot1-0-7"])
    site.keeper.look(10 + 2 * AGAIN_S, 2, [running("101")], ["pilot1-0-7"])
    assert [name for name, _ in site.submitted] == ["pilot1", "pilot2", "pilot3"]
    assert len(site.said) == 1


def test_a_limit_is_an_error_only_where_nothing_is_in_the_queue():
    site = Site()
    site.answers = [Full("AssocMaxSubmitJobLimit")] * 3
    site.keeper.look(0, 1, [OTHERS], [])
    with pytest.raises(Full):
        site.keeper.look(1 + AGAIN_S, 1, [], [])
    group = Full("AssocGrpSubmitJobsLimit")
    group.by_others = True
    site.answers = [group]
    site.keeper.look(3 + 2 * AGAIN_S, 1, [], [])


def test_a_pilot_whose_submission_got_no_answer_is_found_by_its_name():
    site = Site(prefix="pilot-ab-")
    site.answers = [Away("timed out")]
    site.keeper.look(0, 1, [], [])
    found = JobState(job="77", state="RUNNING", reason="None", node="n1", name="campaign-pilot-ab-1")
    site.keeper.look(3, 1, [found], [])
    assert site.keeper.pilots["pilot-ab-1"].job == "77"
    assert not site.submitted
    site.answers = [Away("timed out")]
    site.keeper.look(60, 2, [found], ["pilot-ab-1-0-5"])
    for now in (63, 66):
        site.keeper.look(now, 2, [found], ["pilot-ab-1-0-5"])  # this one never came
    assert [name for name, _ in site.submitted] == []
    site.keeper.look(99, 2, [found], ["pilot-ab-1-0-5"])
    assert [name for name, _ in site.submitted] == ["pilot-ab-3"]
    assert site.keeper.n_fast == 0


def test_one_node_that_swallows_jobs_is_avoided_and_does_not_end_it():
    site = Site()
    site.keeper.look(0, 4, [], [])
    site.nodes = {str(100 + i): "hole" for i in range(1, 5)}  # all end before anybody sees them run
    for now in (3, 6, 9):
        site.keeper.look(now, 4, [], [])
    assert site.keeper.avoided == ("hole",)
    assert site.submitted[-1][1] == ("hole",)
    site.nodes |= {str(100 + i): "other" for i in range(5, 9)}  # and elsewhere it is the same: not the node's fault
    with pytest.raises(Unavailable, match="in a row ended without a worker: log of"):
        [site.keeper.look(now, 4, [], []) for now in (12, 15, 18)]


def test_a_node_is_a_black_hole_when_all_that_came_there_failed_at_once():
    def ending(node, state="FAILED", run_s=1.0):
        return Ending(state=state, exit_code="1:0", reason="", node=node, run_s=run_s)

    once = [ending(node) for node in ("a", "a", "b")]
    found = black_holes([*once, ending("b", "COMPLETED"), ending("c", run_s=900.0), ending("d", "CANCELLED")])
    assert found == {"a"}
    assert black_holes([*once, ending("d")], at_least=2) == {"a"}


# --- scripts ----------------------------------------------------------------------------------------------------------


def test_the_options_of_a_user_take_the_place_of_ours(tmp_path):
    worker = {
        "memory_mb": 100,
        "gpus": 2,
        "directives": ["--mem-per-cpu=900", "-t 10", "--gpus-per-node=h100:2", "-x n7"],
    }
    executor = ArrayExecutor(Profile(worker=worker))
    executor.unfit, executor.suspected = {"n9"}, ["n8"]
    array = executor.plan([BlockTask("fit", 0, i) for i in range(4)], "ab12")
    given = options(executor.script(Layout(tmp_path), array))
    names = [option_of(option) for option in given]
    assert not {"mem", "gres", "time"} & set(names[: names.index("mem-per-cpu")])
    assert {"--mem-per-cpu=900", "-t 10", "--gpus-per-node=h100:2"} <= set(given)
    assert [option for option in given if option_of(option) == "exclude"] == ["--exclude=n7,n8,n9"]
    assert f"--job-name={array.name}" in given


@pytest.mark.parametrize(
    "directive", ["--array=0-9%2", "-a 0-3", "--job-name=mine", "-J mine", "--output=x", "--signal=USR1"]
)
def test_what_campaign_finds_and_stops_jobs_by_is_not_a_users_option(directive):
    with pytest.raises(ValidationError, match="is set by campaign; leave it out"):
        Profile(worker={"directives": [directive]})


def test_the_driver_has_an_account_a_partition_and_a_python_of_its_own(tmp_path):
    driver = {"account": "cpu_hours", "constraint": "", "python": ["/opt/py/bin/python"], "prologue": ["module load b"]}
    profile = Profile(
        account="gpu_hours", partition="booster", constraint="gpu", python=["apptainer", "exec", "a b.sif", "python"],
        prologue=["module load a"], isa="avx2", driver=driver,
    )  # fmt: skip
    script = driver_script(Layout(tmp_path), "name", profile, ["resume", "/x y"], executor="slurm-array")
    given = options(script.text)
    assert {"--account=cpu_hours", "--partition=booster", f"--job-name={script.name}"} <= set(given)
    assert not any("constraint" in option for option in given)
    assert script.text.splitlines()[-1] == "exec /opt/py/bin/python -m campaign.drive.driver_job resume '/x y'"
    assert "module load b" in script.text
    assert "module load a" not in script.text
    assert "isa" not in script.text
    other = driver_script(Layout(tmp_path), "name", profile, ["resume", "/x y"], executor="slurm-array")
    assert other.name != script.name
    worker = pilot_job(profile, "tls://a:1", "pilot-x-1", tmp_path / "f", tmp_path).job_script()
    assert "apptainer exec 'a b.sif' python -m campaign.execute.pilots.pilot tls://a:1 &" in worker
    assert "--xla_cpu_max_isa=AVX2" in worker


def test_a_log_may_lie_in_any_folder(tmp_path):
    assert log_option(tmp_path / "a b" / "100%j", "x-%j") == f'--output="{tmp_path}/a b/100%%j/x-%j.log"'
    assert log_option(tmp_path, "x-%a") == f"--output={tmp_path}/x-%a.log"


def test_a_prologue_runs_as_in_a_login_shell_and_what_fails_is_said(tmp_path):
    """Shell start-up files of sites use names that are not set, and commands that fail; a signal before Python is
    there must not end the job."""
    (tmp_path / "bashrc").write_text('[ -z "$BASHRCSOURCED" ] && BASHRCSOURCED=Y\n[ -n "$QUOTA" ]\nfalse\ntrue\n')
    lines = [f"source {tmp_path}/bashrc", "module load nonesuch", "export SEEN=$UNSET$BASHRCSOURCED", "kill -USR1 $$"]
    profile = Profile(prologue=lines)
    script = render([], profile, profile.worker, ["bash", "-c", "echo seen $SEEN"], computes=True)
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(["bash", tmp_path / "job.sh"], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "seen Y\n")
    assert "prologue: module load nonesuch: exit code 127" in done.stderr
    assert "QUOTA" not in done.stderr


def test_an_instruction_set_joins_the_flags_that_are_there(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    assert isa_environment("avx2") == {"XLA_FLAGS": "--xla_a=1 --xla_cpu_max_isa=AVX2"}
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1 --xla_cpu_max_isa=AVX2")
    assert isa_environment("avx2") == isa_environment(None) == {}
