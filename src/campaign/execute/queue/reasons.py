"""SLURM's words for why a job waits or was refused, and what that asks of a person.

Three kinds: what passes by itself (priority, resources, how many jobs a user may have), what the request must change
for (a limit of one job, a partition that is not there), and an allocation that is used up.

Source: job_reason_string of SLURM 22.05 (src/common/slurm_protocol_defs.c), and https://slurm.schedmd.com/resource_limits.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KEYS = {
    "BadConstraints": "`constraint`",
    "InvalidAccount": "`account`",
    "AccountNotAllowed": "`account`, `partition`",
    "InvalidQOS": "`qos`",
    "QOSNotAllowed": "`qos`, `partition`",
    "PartitionInactive": "`partition`",
    "PartitionNodeLimit": "`nodes`, `partition`",
    "PartitionTimeLimit": "`time_s`, `partition`",
    "JobHoldMaxRequeue": "`prologue`, `python`",
    "launch failed requeued held": "`prologue`, `python`",
}
_RESOURCES = (
    ("Minutes", "`cpus`, `workers`, `time_s`"),
    ("Wall", "`time_s`"),
    ("Cpu", "`cpus`, `workers`"),
    ("CPU", "`cpus`, `workers`"),
    ("Mem", "`memory_mb`"),
    ("GRES", "`gpus`"),
    ("Node", "`nodes`"),
)
_USED_UP = re.compile(r"(Assoc|QOS)Grp(?!.*Run)(.*Minutes|Wall).*")
_ONE_JOB = re.compile(r"(Assoc|QOS)(Max\w*Per(Job|Node)|Min\w*)(Limit|NotSatisfied)?|MaxMemPerLimit")
_PLACES = re.compile(r"\b(?:Assoc|QOS)(Grp|Max)Submit\w*")
_POLICY = "violates accounting/qos policy"
_AWAY = (
    "unable to contact", "timed out", "connection refused", "socket", "zero bytes", "connection failure",
    "no route to host",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a job that waits will not start by itself.

    Attributes:
        what: in words, behind SLURM's reason.
        hint: the next step.
    """

    what: str
    hint: str


def verdict(reason: str) -> Verdict | None:
    """What a pending job's reason asks of a person; None when it passes by itself."""
    reason = reason.strip("()")
    if _USED_UP.fullmatch(reason):
        whose = "account" if reason.startswith("Assoc") else "QOS"
        return Verdict(
            f"{reason}, the allocation of this {whose} is used up",
            f"see what is left (`sshare`, `sacctmgr show assoc`); name another `{whose.lower()}` in the profile, "
            "then `campaign resume`",
        )
    if reason in _KEYS:
        keys, what = _KEYS[reason], reason
    elif _ONE_JOB.fullmatch(reason):
        keys = next((keys for word, keys in _RESOURCES if word in reason), "`directives`")
        side = "less than the least" if re.match("(Assoc|QOS)Min", reason) else "more than the most"
        what = f"{reason}, one job asks for {side} that your {'account' if 'Assoc' in reason else 'QOS'} allows"
        keys += ", `account`" if "Assoc" in reason else ", `qos`"
    else:
        return None
    return Verdict(what, f"change the profile ({keys}), then `campaign resume`")


def is_away(text: str) -> bool:
    """Whether an error of a client command says that the controller does not answer."""
    lower = text.lower()
    return any(sign in lower for sign in _AWAY)


def is_full(text: str) -> bool:
    """Whether a submission was refused for the number of jobs: it will be taken when some have ended."""
    return _PLACES.search(text) is not None or "temporarily unable to accept" in text or _is_vague(text)


def is_full_of_others(text: str) -> bool:
    """Whether the jobs that fill the limit may be somebody else's: that of a group, not of one user."""
    found = _PLACES.search(text)
    return found is not None and found[1] == "Grp"


def _is_vague(text: str) -> bool:
    """A refusal by policy without the name of the limit, which may be of the number of jobs."""
    return _POLICY in text.lower() and not re.search(r"\b(Assoc|QOS)(Max|Min|Grp)\w+", text)
