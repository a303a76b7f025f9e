"""What `submit --dry-run` prints: exactly what would be handed to the cluster, without handing it over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.execute.catalogue import make_executor, shares
from campaign.execute.devices import n_processors, visible_gpus
from campaign.execute.pilots.executor import PilotExecutor
from campaign.execute.pilots.hub import scheduler_script
from campaign.execute.pilots.jobs import pilot_job
from campaign.execute.queue.array import ArrayExecutor
from campaign.interpreter import running
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
        InvalidValue, UnknownName: the execution names no cluster profile, or an unknown one, or an option amiss.
    """
    executor, layout = make_executor(execution), Layout(Path(directory).absolute())
    ranks = execution.ranks_per_block
    gangs = f"; {ranks} processes compute a block" if ranks > 1 else ""
    tasks = [BlockTask(stage, 0, i) for i in range(max(1, n_blocks))]
    if isinstance(executor, ArrayExecutor):
        array = executor.plan(tasks, TOKEN)
        head = f"# sbatch: {array.n_jobs} tasks x {array.workers} workers, {len(tasks)} blocks{gangs}\n"
        return head + executor.script(layout, array)
    if isinstance(executor, PilotExecutor):
        return _pilots(executor, layout, len(tasks), gangs)
    if execution.executor == "mpi":
        return _mpi(executor, gangs)
    n = shares(execution)["workers"] or len(visible_gpus()) or n_processors()
    where = "this process" if execution.executor == "inline" else f"up to {n} worker processes on this machine"
    return f"# nothing is submitted: {len(tasks)} blocks in {where}{gangs}\n"


def _pilots(executor: PilotExecutor, layout: Layout, n_blocks: int, gangs: str) -> str:
    profile, file, text = executor.profile, layout.pilots(TOKEN), ""
    if executor.scheduler == "job":
        text = "# sbatch: the scheduler\n" + scheduler_script(layout, profile, file, executor.dashboard)
    n = min(executor.n_jobs, -(-n_blocks // profile.worker.workers))
    job = pilot_job(profile, SCHEDULER, f"pilot-{TOKEN}-1", file, layout.logs)
    workers = f"{profile.worker.workers} workers each{gangs}"
    head = f"# {job.submit_command}: {n} jobs like this, replaced as they end, {workers}\n"
    return text + head + job.job_script()


def _mpi(executor: Any, gangs: str) -> str:
    import shlex

    from campaign.execute.mpi.launcher import launch_command

    launch = executor.launch
    command = launch_command(launch.n_workers + 1, launch.launcher)
    return (
        f"# launched: {launch.n_workers} computing ranks and one that hands out blocks{gangs}\n"
        + shlex.join([*command, *running("campaign.execute.mpi.world", launch.python)])
        + "\n"
    )
