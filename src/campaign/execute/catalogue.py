"""Executors by name."""

from __future__ import annotations

from typing import Any

from campaign.errors import UnknownName, nearest
from campaign.execute.base import AbstractExecutor

NAMES = ("inline",)


def make_executor(execution: Any) -> AbstractExecutor:
    from campaign.execute.inline import InlineExecutor

    if execution.executor in ("inline", "auto"):
        return InlineExecutor()
    raise UnknownName(f"unknown executor `{execution.executor}`", hint=nearest(execution.executor, NAMES))
