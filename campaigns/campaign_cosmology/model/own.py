"""A data set of one's own: a file of numbers and a file of their covariance, as collaborations publish them. No JAX.

What a file of numbers holds is seen from its lines:

    z value quantity        DESI, eBOSS, cobaya: DV_over_rs, DM_over_rs, DH_over_rs, rs_over_DV (also …_rd)
    name value              numbers without a redshift: parameters, R, l_A, theta_star_100, Omh2, Obch2, r_d, H0_rd
    a header with zcmb zhel mb dmb, or zHD zHEL m_b_corr      supernovae
    a header with zHD zHEL MU MUERR_FINAL                     supernovae as DES-SN5YR publishes them

Columns stand between blanks or commas. A covariance is a square of numbers, or N and then N² numbers one after the
other, also compressed (.gz). To that of supernovae with a column `dmb` or `MUERR_FINAL` the squares of it are added on
the diagonal, as those releases mean it: DES's covariance of statistical errors alone is a file of zeros.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from campaign.science import DataFileError, nearest
from campaign_cosmology.data.data_table import Table, check_covariance, content_hash
from campaign_cosmology.data.tables import SHIPPED, table
from campaign_cosmology.model.space import PARAMETERS

BAO = {
    "DV_over_rs": "DV_over_rd",
    "DM_over_rs": "DM_over_rd",
    "DH_over_rs": "DH_over_rd",
    "rs_over_DV": "rd_over_DV",
}  # as releases spell it → as we do
NUMBERS = ("R", "l_A", "theta_star_100", "Omh2", "Obch2", "r_d", "H0_rd")  # that follow from the parameters
_COSMOMC = ("zcmb", "zhel", "mb", "dmb")
_PANTHEON_PLUS = ("zHD", "zHEL", "m_b_corr")
_DES = ("zHD", "zHEL", "MU", "MUERR_FINAL")
_FORMATS = (_COSMOMC, _PANTHEON_PLUS, _DES)
_LARGEST = 20_000  # rows
_LONGEST = 2_000_000_000  # bytes of a file, unpacked


def own_table(numbers: str | Path, covariance: str | Path, *, name: str | None = None) -> Table:
    """A table from a file of numbers and a file of their covariance.

    Where the numbers are those of a shipped table, to the last bit, it is that table: its name, note and bootstrap.

    Args:
        name: of the data set; the file's name where it is None.

    Raises:
        DataFileError: missing, malformed, of different lengths, an unknown quantity, or no covariance.
    """
    numbers, covariance = Path(numbers), Path(covariance)
    lines = [(i, _words(line)) for i, line in enumerate(_text(numbers).splitlines(), 1) if line.strip()]
    header = _header(lines)
    rows = [(i, words) for i, words in lines if not words[0].startswith("#") and words != header]
    if not rows:
        raise DataFileError(f"`{numbers.name}` holds no rows", hint="one measured number a line")
    if len(rows) > _LARGEST:
        raise DataFileError(f"`{numbers.name}` holds {len(rows)} rows", hint=f"at most {_LARGEST}")
    matrix = read_matrix(covariance, len(rows))
    found = _supernovae(numbers, header, rows) if header else _labelled(numbers, rows)
    if "dmb" in found:
        matrix = matrix + np.diag(found.pop("dmb") ** 2)
    check_covariance(matrix, len(rows), source=covariance.name)
    matrix = 0.5 * (matrix + matrix.T)
    kind, anchor = found.pop("kind"), found.pop("anchor")
    document = {key: value if isinstance(value, list) else value.tolist() for key, value in found.items()}
    digest = content_hash({**document, "covariance": matrix.tolist()})
    for shipped in SHIPPED:
        if table(shipped).sha256 == digest:
            return table(shipped)
    n = len(rows)
    z = found.get("z", np.full(n, np.nan))
    return Table(
        name=f"{kind}:{name or numbers.stem}",
        kind=kind,
        quantity=tuple(found["quantity"]),
        z=z,
        z_helio=found.get("z_helio", z),
        value=found["value"],
        covariance=matrix,
        anchor=anchor,
        title=f"{name or numbers.stem}, {n} numbers of one's own",
        citation="",
        note=f"files {numbers.name} and {covariance.name}; overlap with other data sets is not checked",
        sha256=digest,
    )


def read_matrix(path: Path, n: int) -> np.ndarray:
    """The (n, n) covariance in a file.

    Raises:
        DataFileError: no numbers, or not n².
    """
    words = " ".join(line.partition("#")[0] for line in _text(path).splitlines()).split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise DataFileError(f"`{path.name}` is no file of numbers: {error}", hint="a square of numbers") from None
    if len(values) == n * n + 1 and values[0] == n:
        values = values[1:]
    if len(values) != n * n:
        raise DataFileError(
            f"`{path.name}` holds {len(values)} numbers, for {n} rows {n * n} are needed (or {n} before them)",
            hint="cut numbers and covariance by the same rows",
        )
    if not np.isfinite(values).all():
        raise DataFileError(f"`{path.name}` holds numbers that are not finite")
    return values.reshape(n, n)


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            raise DataFileError(f"the file `{path.name}` holds more than {_LONGEST:,} bytes")
        return data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        if isinstance(error, DataFileError):
            raise
        reason = getattr(error, "strerror", None) or "it is no text"
        raise DataFileError(f"the file `{path.name}` cannot be read: {reason}") from None


def _words(line: str) -> list[str]:
    """The cells of a line, between commas where it has them."""
    return [word.strip() for word in line.split(",")] if "," in line else line.split()


def _header(lines: list[tuple[int, list[str]]]) -> list[str]:
    """The names of a supernova table's columns; [] for the other formats."""
    for _, words in lines[:5]:
        names = [words[0].lstrip("#"), *words[1:]] if words[0] != "#" else words[1:]
        if any(set(columns) <= set(names) for columns in _FORMATS):
            return words if not words[0].startswith("#") else names
    return []


def _number(path: Path, line: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataFileError(f"`{path.name}`, line {line}: `{word[:40]}` is no number")
    return value


def _labelled(path: Path, rows: list[tuple[int, list[str]]]) -> dict:
    """Rows ``z value quantity`` or ``name value``."""
    widths = {len(words) for _, words in rows}
    if widths == {3}:
        quantity = [_bao(path, line, words[2]) for line, words in rows]
        z, value = (np.array([_number(path, line, words[k]) for line, words in rows]) for k in (0, 1))
        if (z <= 0).any():
            raise DataFileError(f"`{path.name}`: the redshift {z[z <= 0][0]:g} is not above 0")
        return {"kind": "bao_ani", "quantity": quantity, "z": z, "value": value, "anchor": np.full(len(z), np.nan)}
    if widths == {2}:
        quantity = [_named(path, line, words[0]) for line, words in rows]
        value = np.array([_number(path, line, words[1]) for line, words in rows])
        return {"kind": "prior", "quantity": quantity, "value": value, "anchor": np.full(len(value), np.nan)}
    raise DataFileError(
        f"`{path.name}` has rows of {', '.join(map(str, sorted(widths)))} columns",
        hint="`z value quantity` for BAO, `name value` for parameters, or a header with zcmb zhel mb dmb, "
        "zHD zHEL m_b_corr, or zHD zHEL MU MUERR_FINAL",
    )


def _bao(path: Path, line: int, word: str) -> str:
    known = {**BAO, **{v: v for v in BAO.values()}}
    if word not in known:
        raise DataFileError(f"`{path.name}`, line {line}: unknown quantity `{word[:40]}`", hint=nearest(word, known))
    return known[word]


def _named(path: Path, line: int, word: str) -> str:
    known = (*PARAMETERS, *NUMBERS)
    if word not in known:
        raise DataFileError(f"`{path.name}`, line {line}: unknown quantity `{word[:40]}`", hint=nearest(word, known))
    return word


def _supernovae(path: Path, header: list[str], rows: list[tuple[int, list[str]]]) -> dict:
    """Redshifts, magnitudes, and Cepheid distances of calibrators."""
    for line, words in rows:
        if len(words) < len(header):
            raise DataFileError(f"`{path.name}`, line {line}: {len(words)} columns, the header has {len(header)}")

    def column(name: str) -> np.ndarray:
        return np.array([_number(path, line, words[header.index(name)]) for line, words in rows])

    n = len(rows)
    anchor = np.full(n, np.nan)
    found: dict = {"kind": "sn", "quantity": ["mag"] * n, "anchor": anchor}
    if set(_COSMOMC) <= set(header):
        found |= {"z": column("zcmb"), "z_helio": column("zhel"), "value": column("mb"), "dmb": column("dmb")}
    elif set(_DES) <= set(header):
        found |= {"z": column("zHD"), "z_helio": column("zHEL"), "value": column("MU"), "dmb": column("MUERR_FINAL")}
    else:
        found |= {"z": column("zHD"), "z_helio": column("zHEL"), "value": column("m_b_corr")}
        if {"IS_CALIBRATOR", "CEPH_DIST"} <= set(header):
            is_calibrator = column("IS_CALIBRATOR") > 0
            anchor[is_calibrator] = column("CEPH_DIST")[is_calibrator]
    if (found["z"] <= 0).any():
        raise DataFileError(f"`{path.name}`: the redshift {found['z'].min():g} is not above 0")
    return found
