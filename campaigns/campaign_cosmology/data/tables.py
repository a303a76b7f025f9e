"""Data sets by name, and which of them may be combined. No JAX.

A name is ``kind`` or ``kind:variant``: ``cmb``, ``bao``, ``bao_ani``, ``sn`` stand for the recommended variant. A prior
is a data set like any other, whose numbers are parameters: ``prior:sh0es``, ``prior:bbn``.
Small tables lie inside the package as JSON with citation and content hash; Pantheon+ is read from the release's files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from campaign.science import InvalidValue, UnknownName, nearest
from campaign_cosmology.data.data_table import Table, parse_table
from campaign_cosmology.data.pantheon_plus import load_pantheon_plus

DEFAULT_VARIANT = {"cmb": "cmb3", "bao": "6df-mgs", "bao_ani": "desi-dr2", "sn": "union3"}
SHIPPED = (
    "cmb:cmb3",
    "cmb:cmb4",
    "cmb:desi-dr2",
    "bao:6df-mgs",
    "bao_ani:desi-dr2",
    "bao_ani:desi-dr1",
    "bao_ani:boss-dr12",
    "bao_ani:eboss-dr16",
    "sn:union3",
    "sn:pantheon-binned",
    "prior:sh0es",
    "prior:bbn",
)
GRIDS = ("bao_grid:eboss-elg", "bao_grid:eboss-lya", "bao_grid:eboss-lya-qso")
FROM_FILES = ("sn:pantheon-plus", "sn:pantheon-plus-sh0es", *GRIDS)
NAMES = SHIPPED + FROM_FILES


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
    and their common covariance is not published. Priors may be several.

    Raises:
        InvalidValue: an empty list, a repeated or an overlapping data set. UnknownName: an unknown one.
    """
    if not names:
        raise InvalidValue("no data set is named", hint=f"valid: {', '.join((*DEFAULT_VARIANT, *NAMES))}")
    complete: list[str] = []
    for name in names:
        found = full_name(name)
        for other in complete:
            if other == found:
                raise InvalidValue(f"data set `{name}` is named twice", hint="name each once")
            if _overlap(other, found):
                raise InvalidValue(
                    f"`{other}` and `{found}` overlap: they share observations, and fitting both counts these twice",
                    hint=f"keep one of `{other}` and `{found}`",
                )
        complete.append(found)
    return tuple(complete)


def _overlap(one: str, other: str) -> bool:
    """Whether two data sets share observations: variants of a kind, and eBOSS's grids with BAO of another survey."""
    kinds = [name.partition(":")[0] for name in (one, other)]
    if kinds[0] == kinds[1]:
        return kinds[0] not in ("prior", "bao_grid")
    if "bao_grid" in kinds and "bao_ani" in kinds:
        return "bao_ani:eboss-dr16" not in (one, other)
    return False


@cache
def table(name: str) -> Table:
    """A data set by name.

    Raises:
        UnknownName: no such data set. DataFileError: a damaged table, or files that are not there.
    """
    complete = full_name(name)
    if complete in GRIDS:
        from campaign_cosmology.data.grid_releases import load_grid

        return load_grid(complete)
    if complete in FROM_FILES:
        return load_pantheon_plus(calibrators=complete == "sn:pantheon-plus-sh0es")
    file = files("campaign_cosmology.data") / f"{complete.replace(':', '_')}.json"
    return parse_table(json.loads(file.read_text(encoding="utf-8")), source=complete)
