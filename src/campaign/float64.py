"""How JAX computes, set before any code of a user can make an array: in double precision, compiled, NaN a value."""

from __future__ import annotations

import os
import sys

SETTINGS = {"jax_enable_x64": True, "jax_disable_jit": False, "jax_debug_nans": False, "jax_debug_infs": False}


def use_float64() -> None:
    """Make float64 JAX's default, and switch off what debugs by other means than computing.

    Imports no JAX: where it is not imported yet, its environment says so. Cheap and safe to repeat: code of a user may
    have set them otherwise.
    """
    jax = sys.modules.get("jax")
    if jax is None or not hasattr(jax, "config"):
        os.environ |= {name.upper(): "1" if value else "0" for name, value in SETTINGS.items()}
        return
    for name, value in SETTINGS.items():
        if getattr(jax.config, name) != value:
            jax.config.update(name, value)
