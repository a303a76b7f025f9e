"""What `submit --dry-run` prints: exactly what would be handed to the cluster, without handing it over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from campaign.execute.catalogue import cluster_profile
from campaign.execute.devices import n_processors, visible_gpus
from campaign.store.layout import BlockTask, Layout

if TYPE_CHECKING:
    from campaign.manifest.model import Execution

TOKEN = "00000000"  # in the place of the random name that a submission gets
SCHEDULER = "tls://ADDRESS:PORT"  # known only when the scheduler runs


def dry_run(execution: Execution, directory: Path, stage: str, n_blocks: int) -> str:
    """The jobs that one stage would submit, as text.

    Args:
        execution: with everything that the command line changed.
        directory: of the campaign; it need not exist.
        stage: its name.
        n_blocks: that are left to do.

    Raises:
        InvalidValue, UnknownName: the execution names no cluster profile, or an unknown one.
    """
    layout = Layout(Path(directory).absolute())
    tasks = [BlockTask(stage, 0, i) for i in range(max(1, n_blocks))]
    if execution.executor == "slurm-array":
        from campaign.execute.array import ArrayExecutor

        executor = ArrayExecutor(cluster_profile(execution), workers=execution.workers)
        array = executor.plan(tasks, TOKEN)
        return f"# sbatch: {array.n_jobs} tasks x {array.workers} workers, {len(tasks)} blocks\n" + executor.script(
            layout, array
        )
    if execution.executor == "dask-slurm":
        from campaign.execute.pilot_jobs import pilot_job

        profile = cluster_profile(execution)
        per_job = profile.worker.workers
        n = min(profile.max_jobs, -(-(execution.workers or 10**9) // per_job), -(-len(tasks) // per_job))
        job = pilot_job(profile, SCHEDULER, "pilot1", layout.pilots(TOKEN), layout.logs)
        head = f"# {job.submit_command}: {n} jobs like this, replaced as they end, {per_job} workers each\n"
        return head + job.job_script()
    if execution.executor == "mpi":
        return _mpi(execution)
    n = execution.workers or len(visible_gpus()) or n_processors()
    where = "this process" if execution.executor == "inline" else f"up to {n} worker processes on this machine"
    return f"# nothing is submitted: {len(tasks)} blocks in {where}\n"


def _mpi(execution: Execution) -> str:
    import shlex
    import sys

    from campaign.execute.catalogue import make_executor
    from campaign.execute.launcher import launch_command

    executor = make_executor(execution)
    command = launch_command(executor.n_workers + 1, executor.launcher)
    return (
        f"# launched: {executor.n_workers} computing ranks and one that hands out blocks\n"
        + shlex.join([*command, sys.executable, "-m", "campaign.execute.world"])
        + "\n"
    )
