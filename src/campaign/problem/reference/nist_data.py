"""The NIST StRD data sets of nonlinear regression: data, starting values, certified answers. No JAX.

Source: National Institute of Standards and Technology, Statistical Reference Datasets (public domain), by way of the
folder NIST_STRD of lmfit-py, commit fe389bbb. One JSON file each in `nist_tables/`: every number as the double nearest
to what NIST prints, with the SHA-256 of NIST's file and of the numbers (canonical JSON).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from campaign.errors import UnknownName, nearest

NIST_NAMES = (
    "Chwirut1", "Chwirut2", "DanWood", "ENSO", "Gauss1", "Gauss2", "Gauss3", "Hahn1", "Kirby2", "Lanczos1", "Lanczos3",
    "Misra1a", "Misra1b", "Misra1c", "Misra1d", "Nelson", "Rat42", "Roszman1",
)  # fmt: skip
TABLES = Path(__file__).parent / "nist_tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class NistData:
    """One data set.

    Attributes:
        name: as NIST writes it.
        y: response, shape (n,).
        x: predictors, shape (k, n).
        starts: NIST's two starting points, far and near, shape (2, d).
        certified: parameters, shape (d,), 11 digits.
        certified_sd: their standard deviations, shape (d,), 11 digits.
        certified_rss: residual sum of squares.
    """

    name: str
    y: np.ndarray
    x: np.ndarray
    starts: np.ndarray
    certified: np.ndarray
    certified_sd: np.ndarray
    certified_rss: float


@lru_cache(maxsize=64)
def read_nist(dataset: str) -> NistData:
    """The data set of that name.

    Raises:
        UnknownName: no such data set.
    """
    if dataset not in NIST_NAMES:
        raise UnknownName(f"unknown NIST data set `{dataset}`", hint=nearest(dataset, NIST_NAMES))
    values = json.loads((TABLES / f"{dataset}.json").read_text(encoding="utf-8"))["values"]
    rss = values.pop("certified_rss")
    return NistData(name=dataset, certified_rss=rss, **{name: np.array(entry) for name, entry in values.items()})
