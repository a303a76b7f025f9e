"""A chain in one file that grows: a header, then a frame of numbers a stored row, read by memory map.

    8 bytes   b"CMPCHAIN"
    4 bytes   version of the format, little-endian
    4 bytes   length of the header, little-endian
    header    JSON (UTF-8), padded with spaces so that frames begin at a multiple of 64
    frames    float64, little-endian: samples (W, d), log_probs (W), and accepted (W) or (1) where the header says so

A frame is written whole or, when the writer is killed, torn; a torn one at the end is ignored, and overwritten by the
next `append`. One writer at a time.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from campaign.analysis.chain import Chain
from campaign.errors import DataFileError, InvalidValue
from campaign.store.atomic import publishing, storage_error
from campaign.store.checksum import fault_of, seal

MAGIC = b"CMPCHAIN"
VERSION = 1
_FIXED = struct.Struct("<8sII")
_ALIGNMENT = 64
_AT_ONCE = 4 << 20  # bytes of frames that are written at a time


class ChainStorage:
    """A file that holds a chain.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def save(self, chain: Chain, about: Mapping[str, Any] | None = None) -> None:
        """Write the chain in place of what is there, at once: readers see the old file or the new one.

        Args:
            about: anything else to keep in the header, as JSON: seed, hash of the configuration …
        """
        header = _header_of(chain, about)
        with publishing(self.path) as temporary, open(temporary, "wb") as file:
            file.write(_packed(header))
            _write_frames(file, chain, _frame(header))

    def append(self, chain: Chain) -> None:
        """Add the rows of a chain of the same sampler after those that are there; a new file where none is.

        What is there is neither read nor written again. A torn frame at the end is overwritten.

        Raises:
            InvalidValue: its parameters, walkers or thinning are not those of the file.
        """
        if not self.path.exists():
            return self.save(chain)
        header, begin = self._header()
        own, frame = _header_of(chain, header["about"]), _frame(header)
        for key in ("names", "walkers", "thin", "accepted"):
            if own[key] != header[key]:
                raise InvalidValue(
                    f"{self.path}: `{key}` of the chain is {own[key]}, of the file {header[key]}",
                    hint="append what the same sampler drew",
                )
        try:
            with open(self.path, "r+b") as file:
                file.seek(begin + self._n_frames(begin, frame) * frame.itemsize)
                file.truncate()
                _write_frames(file, chain, frame)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise storage_error(error) from error

    def cut(self, n_rows: int) -> None:
        """Drop all rows but the first so many.

        Raises:
            DataFileError: as `load`.
        """
        header, begin = self._header()
        frame = _frame(header)
        if self._n_frames(begin, frame) > n_rows:
            os.truncate(self.path, begin + n_rows * frame.itemsize)

    def load(self) -> Chain:
        """The chain, whose numbers stay in the file until they are used: it may be larger than memory.

        Raises:
            DataFileError: there is no such file, it is none of a chain, or its header is cut or damaged.
        """
        header, begin = self._header()
        frame = _frame(header)
        n = self._n_frames(begin, frame)
        rows: Any = np.memmap(self.path, frame, "r", begin, (n,)) if n else np.zeros(0, frame)
        accepted: Any = rows["accepted"] if header["accepted"] else None
        return Chain(
            samples=rows["samples"],
            log_probs=rows["log_probs"],
            names=tuple(header["names"]),
            units=tuple(header["units"]),
            thin=header["thin"],
            accepted=accepted[:, 0] if header["accepted"] == 1 and header["walkers"] > 1 else accepted,
            burn_in=header["burn_in"],
            n_ensembles=header["ensembles"],
        )

    def about(self) -> dict[str, Any]:
        """What `save` was given besides the chain."""
        return self._header()[0]["about"]

    def _header(self) -> tuple[dict[str, Any], int]:
        """The header, and where frames begin."""
        try:
            with open(self.path, "rb") as file:
                start = file.read(_FIXED.size)
                magic, version, length = _FIXED.unpack(start) if len(start) == _FIXED.size else (start[:8], 0, 0)
                if not MAGIC.startswith(magic) or not magic:
                    raise DataFileError(f"{self.path} is no file of a chain")
                if version > VERSION:
                    raise DataFileError(
                        f"{self.path} has version {version} of the format, newer than {VERSION}",
                        hint="read it with the version of `campaign` that wrote it",
                    )
                text = file.read(length)
        except FileNotFoundError:
            raise DataFileError(f"there is no file {self.path}", hint="`ChainStorage.save` makes one") from None
        if version == 0 or len(text) < length:
            raise DataFileError(f"{self.path} ends inside its header: no draws are in it", hint="run the sampler again")
        try:
            header = json.loads(text)
            fault = fault_of(header)
        except ValueError as error:
            fault = f"not JSON ({error})"
        if fault:
            raise DataFileError(f"{self.path}: its header is damaged: {fault}", hint="restore it from a copy")
        return header, _FIXED.size + length

    def _n_frames(self, begin: int, frame: np.dtype[Any]) -> int:
        return (self.path.stat().st_size - begin) // frame.itemsize


def _header_of(chain: Chain, about: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = 0 if chain.accepted is None else 1 if len(chain.accepted.shape) == 1 else chain.n_walkers
    return {
        "names": list(chain.names),
        "units": list(chain.units),
        "walkers": chain.n_walkers,
        "thin": chain.thin,
        "burn_in": chain.burn_in,
        "ensembles": chain.n_ensembles,
        "accepted": kept,  # how many numbers a row
        "about": dict(about or {}),
    }


def _packed(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(seal(header), separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    length = len(text) + -(_FIXED.size + len(text)) % _ALIGNMENT
    return _FIXED.pack(MAGIC, VERSION, length) + text.ljust(length)


def _frame(header: Mapping[str, Any]) -> np.dtype[Any]:
    walkers = header["walkers"]
    fields = [("samples", "<f8", (walkers, len(header["names"]))), ("log_probs", "<f8", (walkers,))]
    return np.dtype([*fields, ("accepted", "<f8", (header["accepted"],))] if header["accepted"] else fields)


def _write_frames(file: Any, chain: Chain, frame: np.dtype[Any]) -> None:
    length = max(1, _AT_ONCE // frame.itemsize)
    for begin in range(0, len(chain), length):
        rows = slice(begin, begin + length)
        samples = np.asarray(chain.samples[rows])
        frames = np.zeros(len(samples), frame)
        frames["samples"] = samples
        frames["log_probs"] = np.asarray(chain.log_probs[rows])
        if chain.accepted is not None:
            frames["accepted"] = np.asarray(chain.accepted[rows]).reshape(len(samples), -1)
        file.write(frames.tobytes())
