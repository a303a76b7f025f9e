"""Blocks on the workers of a Dask scheduler that somebody else started: its address, or its scheduler file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable
from campaign.execute.base import AbstractExecutor, Control, Receipt
from campaign.execute.remote import RUN_BLOCK
from campaign.store.layout import BlockTask

LOOK_S = 2.0  # between two counts of the workers


class SchedulerExecutor(AbstractExecutor):
    """A Dask cluster that is there already. It is left as it was found."""

    name = "dask"

    def __init__(self, address: str, *, start_s: float = 120.0, security: Any = None, work: str = RUN_BLOCK) -> None:
        """Args:
        address: ``tls://host:port``, ``tcp://host:port``, or the path of a scheduler file.
        start_s: seconds to wait for the scheduler, and then for a first worker.
        security: `distributed.Security`; None takes what Dask's configuration says.
        work: ``"module:function"`` that workers call.
        """
        self.address = address
        self.start_s = start_s
        self.work = work
        self._security = security
        self._stack = contextlib.ExitStack()
        self._n_workers = 0
        self._looked_at = 0.0
        self._alone_since = time.monotonic()

    def __enter__(self) -> SchedulerExecutor:
        from distributed import Client

        from campaign.execute.dask.settings import LogTail, configure

        configure()
        self._stack.enter_context(LogTail())
        is_address = "://" in self.address
        where = {"address": self.address} if is_address else {"scheduler_file": self.address}
        if not is_address and not Path(self.address).exists():
            raise Unavailable(
                f"no scheduler file {self.address}", hint="start the scheduler first, or give its address"
            )
        try:
            client = Client(**where, security=self._security, timeout=self.start_s, set_as_default=False)  # pyright: ignore[reportArgumentType]
        except (OSError, TimeoutError, ValueError, TypeError) as error:  # TypeError: TLS without keys
            raise Unavailable(
                f"no Dask scheduler answers at {self.address}: {error}",
                hint="is it running, and are both sides using TLS or neither?",
            ) from error
        self._client = self._stack.enter_context(client)
        self._alone_since = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(self, directory: Path, tasks: Iterable[BlockTask], control: Control) -> Iterator[Receipt]:
        from campaign.execute.dask.blocks import run_on_dask

        yield from run_on_dask(
            self._client,
            Path(directory).absolute(),
            tasks,
            control,
            n_workers=lambda: self._n_workers,
            watch=self._watch,
            work=self.work,
        )

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        try:
            self._n_workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, TypeError, KeyError):
            self._n_workers = 0
        if self._n_workers:
            self._alone_since = now
        elif now - self._alone_since > self.start_s:
            raise Unavailable(
                f"the scheduler at {self.address} has had no worker for {self.start_s:.0f} s",
                hint="start workers; everything published is safe, `campaign resume` continues",
            )
