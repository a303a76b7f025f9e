"""Inside the job of a detached driver: runs `campaign`, and goes back into the queue when its time is up.

``python -m campaign.drive.driver_job submit … | resume …``. To submit again what is submitted continues it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from campaign.errors import Incomplete, Locked
from campaign.execute.queue.scripts import AGAIN
from campaign.execute.stopping import job_deadline, note_end_time
from campaign.interpreter import running

LOCKED_S = 15.0  # between two tries while the lease of a dead driver has not expired yet
MAX_LOCKED = 20
MAX_RESTARTS = 200


def main() -> None:
    """Entry of the job."""
    note_end_time()
    told: list[int] = []
    for _ in range(MAX_LOCKED):
        driver = subprocess.Popen([*running("campaign"), *sys.argv[1:]])

        def drain(number: int, _: object, driver: subprocess.Popen[bytes] = driver) -> None:
            told.append(number)
            driver.send_signal(signal.SIGINT)  # as one Ctrl-C: drain

        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, drain)
        code = driver.wait()
        if code != Locked.exit_code or told:
            break
        time.sleep(LOCKED_S)
        if told:
            break
    deadline = job_deadline()
    is_late = bool(told) or (deadline is not None and time.time() >= deadline)
    if code == Incomplete.exit_code and is_late and int(os.environ.get("SLURM_RESTART_COUNT", "0")) < MAX_RESTARTS:
        print("time is up: back into the queue", flush=True)
        try:
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
        except FileNotFoundError:  # in a container: the job's shell does it
            code = AGAIN
    sys.exit(code)


if __name__ == "__main__":
    main()
