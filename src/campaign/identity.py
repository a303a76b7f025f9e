"""Canonical JSON and run ids: what makes two runs the same run.

    run id = first 128 bits of SHA-256(canonical JSON of
        problem, engine, start, scale, seed, replicate, versions, files)

Where an engine counts its steps, their number is left out of that hash and XORed into its last 32 bits, so that a chain
is recognised whatever its length (`run_ids`).

Canonical JSON is RFC 8785. A million ids differ in a few leaves only, so the text around those leaves is made once
(`template`) and the numbers are printed by column (`number_texts`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import rfc8785

from campaign.errors import InvalidValue

ID_LENGTH = 32  # hexadecimal digits: 128 bits; a collision among 10^9 runs has probability 10^-21
CHAIN_LENGTH = 24  # digits that say which chain of steps a run is, however long
_TOKEN = secrets.token_hex(32)  # fills a gap; no document can hold it by accident or by intention
_MAX_EXACT = 2**53 - 1  # RFC 8785 takes numbers as IEEE doubles


def canonical(obj: Any) -> bytes:
    """RFC 8785 JSON: sorted keys, no spaces, shortest numbers. 1 and 1.0 are the same; −0.0 is 0.

    Raises:
        InvalidValue: NaN, infinity, an integer beyond 2^53 − 1, or something that JSON has no word for.
    """
    try:
        return rfc8785.dumps(obj)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InvalidValue(f"no canonical JSON: {error}") from None


def digest(obj: Any) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(obj)).hexdigest()


def number_texts(values: np.ndarray) -> list[bytes]:
    """RFC 8785 texts of a column of numbers or booleans.

    Checked: tests/property/test_identity.py against the `rfc8785` package.

    Raises:
        InvalidValue: NaN, infinity, an integer beyond 2^53 − 1.
    """
    if values.dtype.kind == "b":
        return [b"true" if v else b"false" for v in values.tolist()]
    if values.dtype.kind in "iu":
        if values.size and (int(values.max()) > _MAX_EXACT or int(values.min()) < -_MAX_EXACT):
            raise InvalidValue("an integer beyond 2^53 - 1 has no canonical JSON")
        return [b"%d" % v for v in values.tolist()]
    if values.size == 0:
        return []
    values = np.ascontiguousarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InvalidValue("NaN and infinity have no canonical JSON")
    texts = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    magnitude = np.abs(values)
    # orjson prints the same shortest digits; whole numbers get a ".0", and from 1e16 on an exponent that RFC 8785 omits
    special = np.flatnonzero((values == np.rint(values)) | (magnitude < 1e-4))
    if special.size:
        distinct, inverse = np.unique(values[special], return_inverse=True)
        printed = [rfc8785.dumps(v) for v in distinct.tolist()]
        for i, k in zip(special.tolist(), inverse.tolist(), strict=True):
            texts[i] = printed[k]
    return texts


@dataclass(frozen=True, slots=True)
class Template:
    """A canonical JSON text with gaps.

    Attributes:
        text: a bytes format, one ``%b`` a gap.
        order: which gap (index into the paths given to `template`) each ``%b`` is.
    """

    text: bytes
    order: tuple[int, ...]

    def digests(self, columns: Sequence[Sequence[bytes]]) -> bytes:
        """First 128 bits of SHA-256 of the filled text, row after row.

        Args:
            columns: for each gap, in the order of the paths, the texts of its rows; at least one gap.
        """
        sha256, fill = hashlib.sha256, self.text.__mod__
        return b"".join(
            [sha256(fill(row)).digest()[:16] for row in zip(*(columns[i] for i in self.order), strict=True)]
        )


def template(document: Mapping[str, Any], gaps: Sequence[tuple[str, ...]]) -> Template:
    """The canonical JSON of a document whose values at `gaps` differ from row to row.

    Args:
        document: nested mappings; gaps need not exist in it.
        gaps: key paths, for example ``[("start", "H0"), ("replicate",)]``.
    """
    filled = _copy(document)
    for i, path in enumerate(gaps):
        inner = filled
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = f"{_TOKEN}:{i}"
    head, *tails = canonical(filled).split(f'"{_TOKEN}:'.encode())
    parts, order = [head], []
    for tail in tails:
        number, _, rest = tail.partition(b'"')
        order.append(int(number))
        parts.append(rest)
    return Template(b"%b".join(part.replace(b"%", b"%%") for part in parts), tuple(order))


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def run_document(
    *,
    problem: Mapping[str, Any],
    engine: Mapping[str, Any],
    start: Mapping[str, float],
    scale: Mapping[str, float],
    seed: int,
    replicate: int,
    versions: Mapping[str, str],
    files: Mapping[str, str],
    precision: str = "float64",
) -> dict[str, Any]:
    """What a run id is the hash of.

    Args:
        problem, engine: ``{"name": …}`` and every option, defaults filled in.
        start, scale: the entries that are given; `scale` is left out when empty.
        seed: the campaign's root seed.
        replicate: 0, 1, …
        versions: ``{"problem": …, "engine": …}`` as the plug-ins declare them.
        files: SHA-256 of every file that the run reads, by name.
        precision: left out when it is float64.
    """
    document: dict[str, Any] = {
        "problem": dict(problem),
        "engine": dict(engine),
        "start": dict(start),
        "seed": seed,
        "replicate": replicate,
        "versions": dict(versions),
        "files": dict(files),
    }
    if scale:
        document["scale"] = dict(scale)
    if precision != "float64":
        document["precision"] = precision
    return document


def run_id(document: Mapping[str, Any], unkeyed: Collection[str] = ()) -> str:
    """Run id of one `run_document`: 32 hexadecimal digits, `run_ids` of a single row."""
    if not unkeyed:
        return digest(document)[:ID_LENGTH]
    chain = bytes.fromhex(digest(_without(document, unkeyed))[:ID_LENGTH])
    return _marked(chain, {name: [canonical(document["engine"][name])] for name in unkeyed}).hex()


def run_ids(
    document: Mapping[str, Any],
    gaps: Sequence[tuple[str, ...]],
    columns: Sequence[Sequence[bytes]],
    unkeyed: Collection[str] = (),
) -> bytes:
    """Run ids of documents that differ in some leaves, 16 bytes each, row after row.

    Args:
        document: a `run_document`.
        gaps: key paths of the leaves that differ; at least one that is not `unkeyed`.
        columns: for each gap the canonical texts of its rows.
        unkeyed: options of the engine that say how long a chain is. Then the first 12 bytes are those of the chain: the
            hash of the document without them. The last 4 bytes of that hash are XORed with hashes of the options.
    """
    if not unkeyed:
        return template(document, gaps).digests(columns)
    texts = dict(zip(gaps, columns, strict=True))
    marks = {name: texts.pop(("engine", name), None) or [canonical(document["engine"][name])] for name in unkeyed}
    return _marked(template(_without(document, unkeyed), [*texts]).digests([*texts.values()]), marks)


def _without(document: Mapping[str, Any], unkeyed: Collection[str]) -> dict[str, Any]:
    return {**document, "engine": {key: value for key, value in document["engine"].items() if key not in unkeyed}}


def _marked(chains: bytes, marks: Mapping[str, Sequence[bytes]]) -> bytes:
    """Ids from the digests of chains, 16 bytes each, and the texts of options: one for all rows, or one each."""
    ids = np.frombuffer(chains, np.uint32).reshape(-1, 4).copy()
    for name, texts in marks.items():
        words = {text: hashlib.sha256(f"{name}:".encode() + text).digest()[:4] for text in set(texts)}
        ids[:, 3] ^= np.frombuffer(b"".join([words[text] for text in texts]), np.uint32)
    return ids.tobytes()
