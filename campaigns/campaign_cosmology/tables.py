"""The measured numbers: data tables by name, verified when they are read. No JAX.

A name is ``kind`` or ``kind:variant``: ``cmb``, ``bao``, ``bao_ani``, ``sn`` stand for the recommended variant.
Small tables lie inside the package as JSON with citation and content hash; Pantheon+ is read from the release's files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from campaign.errors import DataFileError, InvalidValue, UnknownName, nearest

DEFAULT_VARIANT = {"cmb": "cmb3", "bao": "6df-mgs", "bao_ani": "desi-dr2", "sn": "union3"}
SHIPPED = (
    "cmb:cmb3",
    "cmb:cmb4",
    "bao:6df-mgs",
    "bao_ani:desi-dr2",
    "bao_ani:desi-dr1",
    "bao_ani:boss-dr12",
    "bao_ani:eboss-dr16",
    "sn:union3",
    "sn:pantheon-binned",
)
FROM_FILES = ("sn:pantheon-plus",)
NAMES = SHIPPED + FROM_FILES
_HASHED = ("quantity", "z", "z_helio", "value", "covariance", "inverse_covariance")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One data set.

    Attributes:
        name: full name, for example "bao_ani:desi-dr2".
        kind: "cmb", "bao", "bao_ani" or "sn".
        quantity: what each row measures: R, l_A, Obh2, ns · DV_over_rd, DM_over_rd, DH_over_rd · mag, mag_anchored.
        z: redshift of each row (N,); NaN for the CMB priors.
        z_helio: heliocentric redshift (N,), for supernovae; else equal to z.
        value: (N,). covariance: (N, N), symmetric positive definite.
        anchor: distance modulus of the host where a Cepheid gives it (N,), else NaN.
        citation, title, note: where the numbers come from, and what was done to them.
        sha256: of the numbers.
    """

    name: str
    kind: str
    quantity: tuple[str, ...]
    z: np.ndarray
    z_helio: np.ndarray
    value: np.ndarray
    covariance: np.ndarray
    anchor: np.ndarray
    title: str
    citation: str
    note: str
    sha256: str

    def __len__(self) -> int:
        return len(self.value)


def full_name(name: str) -> str:
    """``"bao_ani"`` → ``"bao_ani:desi-dr2"``.

    Raises:
        UnknownName (a KeyError): no such data set.
    """
    kind, _, variant = name.partition(":")
    complete = f"{kind}:{variant or DEFAULT_VARIANT.get(kind, '')}"
    if complete not in NAMES:
        raise UnknownName(f"unknown data set `{name}`", hint=nearest(name, (*DEFAULT_VARIANT, *NAMES)))
    return complete


def resolve(names: Sequence[str]) -> tuple[str, ...]:
    """Full names of a list of data sets, refusing what may not be combined.

    Two variants of one kind share sky or supernovae (DESI, BOSS and eBOSS overlap; so do Union3 and the Pantheons),
    and their common covariance is not published.

    Raises:
        InvalidValue: an empty list, a repeated or an overlapping data set. UnknownName: an unknown one.
    """
    if not names:
        raise InvalidValue("no data set is named", hint=f"valid: {', '.join(DEFAULT_VARIANT)}, or one of {NAMES}")
    complete: list[str] = []
    for name in names:
        found = full_name(name)
        for other in complete:
            if other == found:
                raise InvalidValue(f"data set `{name}` is named twice", hint="name each once")
            if other.partition(":")[0] == found.partition(":")[0]:
                raise InvalidValue(
                    f"`{other}` and `{found}` overlap: they share observations, and fitting both counts these twice",
                    hint=f"keep one of the `{found.partition(':')[0]}` sets",
                )
        complete.append(found)
    return tuple(complete)


def content_hash(document: dict) -> str:
    """SHA-256 of the numbers of a table: row labels, redshifts, values and covariance, in canonical order."""
    numbers = {key: document[key] for key in _HASHED if key in document}
    return hashlib.sha256(json.dumps(numbers, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _symmetric_inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a badly scaled symmetric matrix, scaled to unit diagonal first."""
    d = 1.0 / np.sqrt(np.diag(matrix))
    inverse = np.linalg.inv(matrix * np.outer(d, d)) * np.outer(d, d)
    return 0.5 * (inverse + inverse.T)


def parse_table(document: dict, *, source: str) -> Table:
    """A table from its JSON form, checked.

    Raises:
        DataFileError: the content hash differs (a number, a label or the order of rows changed), shapes disagree, or
            the covariance is not symmetric positive definite.
    """
    seen = content_hash(document)
    if seen != document["sha256"]:
        raise DataFileError(
            f"data table {source} has content hash {seen[:16]}…, its header says {document['sha256'][:16]}…",
            hint="a number, a label or the order of rows was changed; reinstall the package",
        )
    value = np.array(document["value"], dtype=np.float64)
    n = len(value)
    z = np.array(document.get("z", [np.nan] * n), dtype=np.float64)
    if "covariance" in document:
        covariance = np.array(document["covariance"], dtype=np.float64)
    else:
        covariance = _symmetric_inverse(np.array(document["inverse_covariance"], dtype=np.float64))
    check_covariance(covariance, n, source=source)
    return Table(
        name=document["name"],
        kind=document["kind"],
        quantity=tuple(document["quantity"]),
        z=z,
        z_helio=np.array(document.get("z_helio", z), dtype=np.float64),
        value=value,
        covariance=covariance,
        anchor=np.full(n, np.nan),
        title=document["title"],
        citation=document["citation"],
        note=document["note"],
        sha256=document["sha256"],
    )


def check_covariance(covariance: np.ndarray, n: int, *, source: str) -> None:
    """Shape (n, n), symmetric (rtol 1e-10, atol 1e-12), positive definite by its correlation matrix.

    Raises:
        DataFileError: with what is wrong and the smallest eigenvalue.
    """
    if covariance.shape != (n, n):
        raise DataFileError(f"covariance of {source} has shape {covariance.shape}, its {n} rows need ({n}, {n})")
    if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12):
        raise DataFileError(f"covariance of {source} is not symmetric")
    diagonal = np.diag(covariance)
    if not (diagonal > 0).all():
        raise DataFileError(f"covariance of {source} has a variance ≤ 0 in row {int(np.argmin(diagonal))}")
    sigma = np.sqrt(diagonal)
    smallest = float(np.linalg.eigvalsh(covariance / np.outer(sigma, sigma))[0])
    if smallest <= 1e-10:
        raise DataFileError(
            f"covariance of {source} is not positive definite: smallest eigenvalue of its correlations {smallest:.3g}",
            hint="check that rows and columns are in the same order and that the file is complete",
        )


@cache
def table(name: str) -> Table:
    """A data set by name.

    Raises:
        UnknownName: no such data set. DataFileError: a damaged table, or files that are not there.
    """
    complete = full_name(name)
    if complete == "sn:pantheon-plus":
        from campaign_cosmology.pantheon_plus import load_pantheon_plus

        return load_pantheon_plus()
    file = files("campaign_cosmology") / "data" / f"{complete.replace(':', '_')}.json"
    return parse_table(json.loads(file.read_text(encoding="utf-8")), source=complete)
