"""The document's layers around a fit. None is on by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaign_xpcs.api.inputs import Request


def with_layers(asked: Request, problem: Any, fit_from: Callable) -> Callable:
    """The fit, with the layers that are on around it."""
    return fit_from
