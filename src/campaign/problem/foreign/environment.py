"""What the process of a model inherits: the environment without what belongs to this worker, and one core."""

from __future__ import annotations

import os
from collections.abc import Mapping

ONE_CORE = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_OURS = (
    "PMI",
    "PMIX",
    "OMPI_",
    "MPICH_",
    "MPI_LOCAL",
    "HYDI_",
    "HYDRA_",
    "SLURM_",
    "DASK_",
    "CAMPAIGN_",
    "JAX_",
    "XLA_",
)
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "API_KEY")


def model_environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a model's process.

    Left out: what launchers, schedulers and this worker's JAX set (a model that uses MPI itself would take itself for a
    rank of this job), and names that speak of secrets. Numerical libraries get one core, since there is one worker a
    core.

    Args:
        own: values of the user's, which win.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and not any(word in name.upper() for word in _SECRETS)
    }
    return kept | ONE_CORE | dict(own or {})
