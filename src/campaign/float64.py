"""Double precision in JAX, switched on before any code of a user can make an array."""

from __future__ import annotations

import os
import sys


def use_float64() -> None:
    """Make float64 JAX's default. Imports no JAX: where it is not imported yet, its environment says so.

    Cheap and safe to repeat: code of a user may have switched it off.
    """
    jax = sys.modules.get("jax")
    if jax is None or not hasattr(jax, "config"):
        os.environ["JAX_ENABLE_X64"] = "1"
    elif not jax.config.jax_enable_x64:
        jax.config.update("jax_enable_x64", True)
