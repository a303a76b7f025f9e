"""How we set up Dask: quiet, closed, and without a second opinion on losses."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # the executor counts losses itself, and journals them
    "distributed.scheduler.worker-saturation": 1.1,  # one block runs, one waits at the worker
    "distributed.scheduler.http.routes": [],  # no pages, no metrics
    "distributed.worker.http.routes": [],
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "10s",  # also how long a receipt is looked for on a worker that is gone
    "distributed.comm.timeouts.tcp": "60s",
    "distributed.admin.log-length": 0,
    "distributed.diagnostics.nvml": False,
}


def configure() -> None:
    """Put `SETTINGS` into Dask's configuration of this process, and keep its logging to warnings."""
    import dask

    dask.config.set(SETTINGS)
    for name in ("distributed", "distributed.scheduler", "distributed.worker", "distributed.core"):
        logging.getLogger(name).setLevel(logging.WARNING)


class LogTail(logging.Handler):
    """The last lines that Dask logged in this process, for error messages; keeps them off the terminal."""

    def __init__(self, n_lines: int = 20) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=n_lines)
        self._was_propagating = True
        self._others: list[logging.Handler] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().splitlines()[0][:300] if record.getMessage() else "")

    def __enter__(self) -> LogTail:
        logger = logging.getLogger("distributed")
        self._was_propagating, self._others = logger.propagate, list(logger.handlers)
        logger.handlers[:] = [self]
        logger.propagate = False
        return self

    def __exit__(self, *exception: object) -> None:
        logger = logging.getLogger("distributed")
        logger.handlers[:] = self._others
        logger.propagate = self._was_propagating
