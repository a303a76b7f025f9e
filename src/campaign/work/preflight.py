"""One run alone, in a process of its own, as far as its first chunk of steps: ``python -m campaign.work.preflight``.

It is computed in memory, with the program of its block, and nothing of it is kept. What its code does goes to the
parent through the file of last words: ``{"failed": message}``, or what the process was doing when it ended.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from campaign.errors import CampaignError, InvalidValue
from campaign.store.claim import read_identity
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import records_of
from campaign.touching import last_words, listen, say_done
from campaign.work.control import Control
from campaign.work.jax_runtime import start_jax


class _OneChunk(Control):
    """Lets a run go to the end of its first chunk of steps."""

    def must_stop(self) -> bool:
        return True


def first_failure(directory: Path, task: BlockTask, row: int) -> str | None:
    """What the code of a run does wrong in its first chunk of steps; None where it does not.

    A run that does not converge, or lacks memory, a device or a file here, is not at fault.
    """
    start_jax()
    from campaign.own_code import told
    from campaign.work.block import Execution, execute, is_out_of_memory
    from campaign.work.desk import MemoryDesk
    from campaign.work.planned_block import load_block
    from campaign.work.watchdog import Watchdog

    layout = Layout(directory)
    block = load_block(layout, task, read_identity(layout).id)
    block = block.only(block.run_ids[row])
    execution = Execution(
        desk=MemoryDesk(),
        block=block,
        control=_OneChunk(),
        started=time.time(),
        run_ids=lambda: np.array(block.run_ids),
        watchdog=Watchdog(Path(), block.header.get("timeout_s"), is_own=True, given=last_words()),
        is_strict=True,
    )
    try:
        execute(execution)
    except InvalidValue as error:
        return str(error)
    except CampaignError:
        return None
    except (Exception, SystemExit) as error:
        found = told(error)
        return found.message if found.stack and not is_out_of_memory(error) else None
    records = [record for rows, columns in execution.found for record in records_of(columns, len(rows))]
    return next((record["message"] for record in records if record["outcome"] in ("error", "timeout")), None)


def main() -> None:
    """Entry of the process."""
    directory, stage, part, block, row = sys.argv[1:]
    if not listen():
        raise SystemExit("this is started by a driver")
    message = first_failure(Path(directory), BlockTask(stage, int(part), int(block)), int(row))
    words = last_words()
    if message is not None and words is not None:
        words.say({"failed": message})
    say_done(0)


if __name__ == "__main__":
    main()
