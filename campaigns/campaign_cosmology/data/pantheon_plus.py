"""Pantheon+ from the files of its own data release; they are too large to ship. No JAX.

Put both files into the folder that `CAMPAIGN_DATA` names. The table's rows with zHD > 0.01 are used; the covariance
(first line N, then N² numbers) is cut on both axes by the same mask. Rows flagged IS_CALIBRATOR compare m_b with the
Cepheid distance when `calibrators` is asked for; otherwise they are dropped and supernovae carry no information on H0.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from campaign.science import DataFileError, find_data
from campaign_cosmology.data.data_table import Table, check_covariance

TABLE_FILE = "Pantheon+SH0ES.dat"
COVARIANCE_FILE = "Pantheon+SH0ES_STAT+SYS.cov"
TABLE_SHA256 = "1cb0fc379ef066afdc2ffd1857681cc478024570d8a3eba284fb645775198cf8"
COVARIANCE_SHA256 = "abf806d966485e64afdb359c87bffc0ecc00d05eff0a31ced66f247385df0fdc"
Z_MIN = 0.01  # Brout et al. 2022, arXiv:2202.04077, sec. 2: below it peculiar velocities dominate
CITATION = "Scolnic et al. 2022, arXiv:2112.03863; Brout et al. 2022, arXiv:2202.04077; DataRelease c447f0fe"


def read_table(path: Path) -> np.ndarray:
    """The release's table as a structured array with its own column names."""
    with path.open(encoding="utf-8") as stream:
        names = stream.readline().split()
        rows = [line.split() for line in stream if line.strip()]
    wanted = ("zHD", "zHEL", "m_b_corr", "CEPH_DIST", "IS_CALIBRATOR")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataFileError(
            f"{path} does not have the columns {', '.join(missing)}", hint=f"its header has: {' '.join(names)}"
        )
    out = np.empty(len(rows), dtype=[(name, np.float64) for name in wanted])
    for name in wanted:
        out[name] = [float(row[names.index(name)]) for row in rows]
    return out


def read_covariance(path: Path, n: int) -> np.ndarray:
    """The N×N covariance of the release: first number N, then N² numbers."""
    numbers = np.fromstring(path.read_text(encoding="ascii"), sep="\n")
    if len(numbers) < 1 or numbers[0] != n or len(numbers) != n * n + 1:
        raise DataFileError(
            f"{path} holds {max(len(numbers) - 1, 0)} numbers under the header {numbers[:1]}; expected {n} and {n * n}",
            hint="the file is incomplete or belongs to another table",
        )
    return numbers[1:].reshape(n, n)


def load_pantheon_plus(*, calibrators: bool = False, verify: bool = True) -> Table:
    """The Pantheon+ table with its full covariance, 1580 supernovae (1657 with the calibrators).

    Raises:
        DataFileError: files missing, changed (hash) or malformed.
    """
    digests = []
    for name, expected in ((TABLE_FILE, TABLE_SHA256), (COVARIANCE_FILE, COVARIANCE_SHA256)):
        digest = hashlib.sha256(find_data(name).read_bytes()).hexdigest()
        if verify and digest != expected:
            raise DataFileError(
                f"data file `{name}` has SHA-256 {digest[:16]}…, the release's has {expected[:16]}…",
                hint="copy the file of the release again; give another version, or a cut one, as data of your own",
            )
        digests.append(digest)
    rows = read_table(find_data(TABLE_FILE))
    covariance = read_covariance(find_data(COVARIANCE_FILE), len(rows))
    calibrator = rows["IS_CALIBRATOR"] > 0
    keep = ((rows["zHD"] > Z_MIN) & ~calibrator) | (calibrator & calibrators)
    rows, covariance = rows[keep], covariance[np.ix_(keep, keep)]
    covariance = 0.5 * (covariance + covariance.T)
    check_covariance(covariance, len(rows), source=COVARIANCE_FILE)
    return Table(
        name="sn:pantheon-plus-sh0es" if calibrators else "sn:pantheon-plus",
        kind="sn",
        quantity=("mag",) * len(rows),
        z=rows["zHD"],
        z_helio=rows["zHEL"],
        value=rows["m_b_corr"],
        covariance=covariance,
        anchor=np.where(rows["IS_CALIBRATOR"] > 0, rows["CEPH_DIST"], np.nan),
        title=f"Pantheon+, {len(rows)} supernovae",
        citation=CITATION,
        note="zHD > 0.01" + (", with Cepheid calibrators" if calibrators else ", without calibrators"),
        sha256=hashlib.sha256("".join([*digests, "calibrators" * calibrators]).encode()).hexdigest(),
    )
