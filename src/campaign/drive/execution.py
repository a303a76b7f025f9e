"""Where and how the runs of a campaign execute: what its manifest says, and what overrides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaign.errors import UnknownName, nearest
from campaign.problem.file import is_file_problem

if TYPE_CHECKING:
    from campaign.manifest.model import Execution, Manifest


def chosen_execution(
    manifest: Manifest, executor: str | None, workers: int | None, profile: str | None, preflight: bool | None = None
) -> Execution:
    """Where and how runs execute: the manifest's `execution`, changed by a profile, changed by the arguments.

    `auto` begins in this process, but not with people's own code: that goes to workers from the first block on.

    Args:
        profile: one of the manifest's, or a cluster profile.

    Raises:
        UnknownName: no such profile.
    """
    from campaign.execute.queue.profiles import profile_names

    changes: dict[str, object] = {"executor": executor, "workers": workers, "preflight": preflight}
    is_cluster = profile is not None and (profile.endswith(".toml") or profile in profile_names())
    if is_cluster and profile not in manifest.profiles:
        execution, changes["profile"] = manifest.execution, profile
    elif profile is not None and profile not in manifest.profiles:
        hint = nearest(profile, (*manifest.profiles, *profile_names()))
        raise UnknownName(f"unknown profile `{profile}`", hint=hint)
    else:
        execution = manifest.execution_for(profile)
    changes = {name: value for name, value in changes.items() if value is not None}
    if (changes.get("executor") or execution.executor) == "auto" and _has_file_problem(manifest):
        changes["executor"] = "dask"  # a model that crashes or hangs must not take the driver along
    return execution.model_copy(update=changes)


def _has_file_problem(manifest: Manifest) -> bool:
    """Whether a problem is in a file of the user's."""
    return any(is_file_problem(str((stage.problem or {}).get("name", ""))) for stage in manifest.stages)
