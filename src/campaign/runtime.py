"""The public door to JAX as campaigns set it up: see `campaign.work.jax_runtime`.

Call `start_jax` before the first computation of code that runs outside of a worker: then it compiles what workers
compile, in double precision, and finds it in the same cache.
"""

from __future__ import annotations

from campaign.work.jax_runtime import cache_folder, start_jax

__all__ = ["cache_folder", "start_jax"]
