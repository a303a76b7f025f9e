"""What a job array works on: the blocks, dealt out in shares. Written once, before the array is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campaign.execute.remote import RUN_BLOCK
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import publish_json, read_json

SCHEMA = "campaign.array/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlan:
    """A job array.

    Attributes:
        token: names it in files.
        stage: of the blocks.
        blocks: (part, block) of each block.
        n_jobs: tasks of the array; each holds `workers` worker processes, each of which has one share.
        workers: worker processes a task.
        settings: `threads`, `workers_per_gpu`, `device` of a worker.
        job: id, once it is known.
        work: ``"module:function"`` that workers call.
        sys_path: of the driver.
    """

    token: str
    stage: str
    blocks: Sequence[Sequence[int]]
    n_jobs: int
    workers: int
    settings: dict[str, Any]
    job: str = ""
    work: str = RUN_BLOCK
    sys_path: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the job in the queue: by it the array is found, also when the answer to its submission was lost."""
        return f"campaign-{self.stage}-{self.token}"

    @property
    def n_shares(self) -> int:
        return self.n_jobs * self.workers

    def share(self, number: int) -> list[BlockTask]:
        """The blocks of one share: every n-th, so that shares are alike."""
        return [BlockTask(self.stage, part, block) for part, block in self.blocks[number :: self.n_shares]]

    def save(self, layout: Layout) -> None:
        publish_json(layout.array, {"schema": SCHEMA, **asdict(self)})


def load_array(layout: Layout) -> ArrayPlan | None:
    """The campaign's last job array, or None."""
    try:
        record = read_json(layout.array)
    except FileNotFoundError:
        return None
    if record.get("schema") != SCHEMA:
        return None
    return ArrayPlan(**{name: value for name, value in record.items() if name in ArrayPlan.__slots__})
