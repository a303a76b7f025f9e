"""One data set: its measured numbers with their covariance, checked where they are read. No JAX."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campaign.science import DataFileError

if TYPE_CHECKING:
    from campaign_cosmology.data.grid import Grid

LEAST_EIGENVALUE = 1e-10  # of a matrix of correlations
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
        grid: how far the likelihood is from the Gaussian of `value` and `covariance`; None: not at all.
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
    grid: Grid | None = None

    def __len__(self) -> int:
        return len(self.value)


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


def is_symmetric(covariance: np.ndarray) -> bool:
    """Whether C = Cᵀ to 1e-10 of the errors on the diagonal, whatever the units."""
    sigma = np.sqrt(np.abs(np.diag(covariance)))
    return bool((np.abs(covariance - covariance.T) <= 1e-10 * np.outer(sigma, sigma)).all())


def check_covariance(covariance: np.ndarray, n: int, *, source: str) -> None:
    """Shape (n, n), symmetric (rtol 1e-10, atol 1e-12, and to 1e-10 of the errors), positive definite by correlations.

    Raises:
        DataFileError: with what is wrong and the smallest eigenvalue.
    """
    if covariance.shape != (n, n):
        raise DataFileError(f"covariance of {source} has shape {covariance.shape}, its {n} rows need ({n}, {n})")
    if not (np.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12) and is_symmetric(covariance)):
        raise DataFileError(f"covariance of {source} is not symmetric")
    diagonal = np.diag(covariance)
    if not (diagonal > 0).all():
        raise DataFileError(f"covariance of {source} has a variance ≤ 0 in row {int(np.argmin(diagonal))}")
    sigma = np.sqrt(diagonal)
    correlation = covariance / np.outer(sigma, sigma)
    try:  # all eigenvalues above the limit, at a tenth of the price of the eigenvalues
        np.linalg.cholesky(correlation - LEAST_EIGENVALUE * np.eye(n))
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(correlation)[0])
        raise DataFileError(
            f"covariance of {source} is not positive definite: smallest eigenvalue of its correlations {smallest:.3g}",
            hint="check that rows and columns are in the same order and that the file is complete",
        ) from None
