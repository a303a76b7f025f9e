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
    """The last lines that Dask logged in this process, for error messages; keeps them off the terminal.

    Dask gives some of its loggers their own handler, which would print.
    """

    def __init__(self, n_lines: int = 20) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=n_lines)
        self._before: list[tuple[logging.Logger, list[logging.Handler], bool]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().splitlines()[0][:300] if record.getMessage() else "")

    def __enter__(self) -> LogTail:
        known = (logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if _is_dasks(name))
        for logger in (logging.getLogger("distributed"), *known):
            if logger.handlers or logger.name == "distributed":
                self._before.append((logger, list(logger.handlers), logger.propagate))
                logger.handlers[:], logger.propagate = [self], False
        return self

    def __exit__(self, *exception: object) -> None:
        for logger, handlers, is_propagating in reversed(self._before):
            logger.handlers[:], logger.propagate = handlers, is_propagating
        self._before.clear()


def _is_dasks(name: str) -> bool:
    return name.startswith("distributed.")
