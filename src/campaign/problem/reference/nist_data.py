"""Reading the NIST StRD files of nonlinear regression: data, starting values, certified answers. No JAX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from campaign.data import find
from campaign.errors import DataFileError, UnknownName, nearest
from campaign.problem.reference.nist_small import SMALL

NIST_NAMES = (
    "Chwirut1", "Chwirut2", "DanWood", "ENSO", "Gauss1", "Gauss2", "Gauss3", "Hahn1", "Kirby2", "Lanczos1", "Lanczos3",
    "Misra1a", "Misra1b", "Misra1c", "Misra1d", "Nelson", "Rat42", "Roszman1",
)  # fmt: skip


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


def checked(dataset: str) -> str:
    """The name, if there is such a data set.

    Raises:
        UnknownName: no such data set.
    """
    if dataset not in NIST_NAMES:
        raise UnknownName(f"unknown NIST data set `{dataset}`", hint=nearest(dataset, NIST_NAMES))
    return dataset


def nist_files(dataset: str) -> tuple[str, ...]:
    """Names of the data files that a data set is read from, relative to the data folders: none for the built-in ones.

    Raises:
        UnknownName: no such data set.
    """
    return () if checked(dataset) in SMALL else (f"nist/{dataset}.dat",)


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][-+]?\d+)?"
_PARAMETER = re.compile(rf"^\s*b(\d+)\s*=\s*({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*$")
_RSS = re.compile(rf"^\s*Residual Sum of Squares:\s*({_NUMBER})\s*$")
_COUNT = re.compile(r"^\s*Number of Observations:\s*(\d+)\s*$")


def _number(text: str) -> float:
    return float(text.replace("D", "E").replace("d", "e"))


def parse_nist(text: str, name: str) -> NistData:
    """A file's text → its contents.

    Raises:
        DataFileError: naming what is missing.
    """
    lines = text.splitlines()
    parameters = [m.groups() for m in map(_PARAMETER.match, lines) if m]
    rss = next((m.group(1) for m in map(_RSS.match, lines) if m), None)
    count = next((m.group(1) for m in map(_COUNT.match, lines) if m), None)
    last_heading = max((i for i, line in enumerate(lines) if line.startswith("Data:")), default=len(lines))
    rows = [[_number(v) for v in line.split()] for line in lines[last_heading + 1 :] if line.strip()]
    if not parameters or rss is None or count is None:
        raise DataFileError(
            f"NIST file of `{name}`: {len(parameters)} parameters, residual sum of squares {rss}, "
            f"number of observations {count}",
            hint="valid: a NIST StRD nonlinear regression file as published",
        )
    if [int(p[0]) for p in parameters] != list(range(1, len(parameters) + 1)):
        raise DataFileError(f"NIST file of `{name}`: parameters {[p[0] for p in parameters]} are not 1, 2, 3, …")
    if len(rows) != int(count) or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        raise DataFileError(f"NIST file of `{name}`: {len(rows)} rows of data", hint=f"it says {count}")
    table = np.array(rows).T
    values = np.array([[_number(v) for v in p[1:]] for p in parameters]).T
    return NistData(
        name=name,
        y=table[0],
        x=table[1:],
        starts=values[:2],
        certified=values[2],
        certified_sd=values[3],
        certified_rss=_number(rss),
    )


@lru_cache(maxsize=64)
def read_nist(dataset: str) -> NistData:
    """The data set of that name: a built-in one, or from the data folders.

    Raises:
        UnknownName, DataFileError.
    """
    files = nist_files(dataset)
    if files:
        return parse_nist(find(files[0]).read_text(encoding="ascii"), dataset)
    y, x, far, near, certified, sd, rss = SMALL[dataset]
    return NistData(
        name=dataset,
        y=np.array(y),
        x=np.array([x]),
        starts=np.array([far, near]),
        certified=np.array(certified),
        certified_sd=np.array(sd),
        certified_rss=rss,
    )
