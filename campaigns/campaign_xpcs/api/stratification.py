"""Chunks of points that each hold every angle, as the document has them. No JAX.

What it guards against, a chunk without some angle, does no harm where JᵀJ is summed over chunks before each step, as
it is here. The functions are for code that was written with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from campaign.science import InvalidValue

LEAST_POINTS = 100_000
MOST_IMBALANCE = 5.0  # points of the largest angle over those of the smallest
_ROWS = 8192  # that are looked at at a time
_POINTS_PER_RUN = 2048  # from which runs of one angle are short to write down: 24 bytes each


def should_use_stratification(
    n_points: int, n_angles: int, per_angle_scaling: bool, imbalance_ratio: float
) -> tuple[bool, str]:
    """Whether the document cuts the data into chunks that hold every angle, and why.

    Checked: tests/unit/xpcs/api/test_xpcs_stratification.py, each branch of the document's tree at its border.
    """
    if n_points < LEAST_POINTS:
        return False, f"{n_points} points, fewer than {LEAST_POINTS}: no chunks"
    if not per_angle_scaling:
        return False, "no scaling by angle: any chunks do"
    if n_angles <= 1:
        return False, "one angle: nothing to distribute"
    if imbalance_ratio > MOST_IMBALANCE:
        return False, f"imbalance {imbalance_ratio:.3g} above {MOST_IMBALANCE:g}: angles one after another"
    return True, f"{n_points} points of {n_angles} angles, imbalance {imbalance_ratio:.3g}: chunks with every angle"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AngleCounts:
    """How many points each angle has."""

    angles: Float[np.ndarray, " n_phi"]
    counts: Int[np.ndarray, " n_phi"]

    @property
    def imbalance_ratio(self) -> float:
        return float(self.counts.max() / self.counts.min())


def count_angles(phi: Float[np.ndarray, " n"]) -> AngleCounts:
    """The different angles and their points, without a sorted copy of the data."""
    phi = np.asarray(phi)
    if phi.ndim != 1 or not len(phi):
        raise InvalidValue(f"`phi` has shape {phi.shape}", hint="one angle a point, at least one point")
    found: dict[float, int] = {}
    for at in range(0, len(phi), _ROWS):
        for angle, count in zip(*np.unique(phi[at : at + _ROWS], return_counts=True), strict=True):
            found[float(angle)] = found.get(float(angle), 0) + int(count)
    if not np.isfinite(list(found)).all():
        raise InvalidValue("`phi` has angles that are not finite")
    angles = np.array(sorted(found))
    return AngleCounts(angles=angles, counts=np.array([found[float(a)] for a in angles], np.int64))


class AngleStratifiedIndices:
    """Which points each chunk has: point j of an angle goes to chunk j mod n_chunks.

    Nothing is stored a point: a chunk's indices are made when it is asked for. They are int64, so that no data are too
    large for them.

    Args:
        phi: angle of each point; it is kept, not copied.
        counts: of `count_angles`.
        n_chunks: at most as many as the smallest angle has points.
    """

    def __init__(self, phi: Float[np.ndarray, " n"], counts: AngleCounts, n_chunks: int) -> None:
        self.phi, self.counts, self.n_chunks = np.asarray(phi), counts, n_chunks
        self._runs = _runs(self.phi, counts.angles)

    def __len__(self) -> int:
        return self.n_chunks

    def __iter__(self) -> Iterator[Int[np.ndarray, " m"]]:
        return (self[chunk] for chunk in range(self.n_chunks))

    def __getitem__(self, chunk: int) -> Int[np.ndarray, " m"]:
        """Indices of the points of a chunk, ascending within each angle."""
        if not 0 <= chunk < self.n_chunks:
            raise IndexError(f"chunk {chunk} of {self.n_chunks}")
        picked: list[list[np.ndarray]] = [[] for _ in self.counts.angles]
        seen = np.zeros(len(self.counts.angles), np.int64)
        for angle, places in self._places():
            first = int((chunk - seen[angle]) % self.n_chunks)
            picked[angle].append(np.array(places[first :: self.n_chunks], np.int64))  # a view would keep all
            seen[angle] += len(places)
        return np.concatenate([piece for pieces in picked for piece in pieces])

    @property
    def sizes(self) -> Int[np.ndarray, "n_chunks n_phi"]:
        """Points of each angle in each chunk."""
        chunk = np.arange(self.n_chunks)[:, None]
        return (self.counts.counts[None, :] - chunk + self.n_chunks - 1) // self.n_chunks

    def _places(self) -> Iterator[tuple[int, range | np.ndarray]]:
        """Stretches of the data: the angle, and where its points are, in order."""
        if self._runs is not None:
            for start, stop, angle in self._runs:
                yield int(angle), range(int(start), int(stop))
            return
        for at in range(0, len(self.phi), _ROWS):
            codes = np.searchsorted(self.counts.angles, self.phi[at : at + _ROWS])
            for angle in range(len(self.counts.angles)):
                yield angle, at + np.flatnonzero(codes == angle)


def create_angle_stratified_indices(
    phi: Float[np.ndarray, " n"], target_chunk_size: int = 100_000
) -> AngleStratifiedIndices:
    """Chunks of about `target_chunk_size` points that each hold every angle in its proportion, as indices.

    Extra memory: at most 1 % of the data's (40 bytes a point), whatever their order.

    Raises:
        InvalidValue: no points, an angle that is not finite, a chunk size below 1.

    Checked: tests/unit/xpcs/api/test_xpcs_stratification.py: the document's example, every index once, memory.
    """
    if target_chunk_size < 1:
        raise InvalidValue(f"`target_chunk_size` is {target_chunk_size}", hint="at least 1")
    counts = count_angles(phi)
    wanted = -(-len(np.asarray(phi)) // target_chunk_size)
    return AngleStratifiedIndices(phi, counts, min(wanted, int(counts.counts.min())))


def create_angle_stratified_data(
    phi: Float[np.ndarray, " n"],
    t1: Float[np.ndarray, " n"],
    t2: Float[np.ndarray, " n"],
    g2_exp: Float[np.ndarray, " n"],
    target_chunk_size: int = 100_000,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """The same as a copy of the data, chunk after chunk.

    Returns:
        phi, t1, t2, g2, and how many points each chunk has.
    """
    arrays = [np.asarray(a) for a in (phi, t1, t2, g2_exp)]
    for name, array in zip(("phi", "t1", "t2", "g2_exp"), arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise InvalidValue(f"`{name}` has shape {array.shape}, `phi` {arrays[0].shape}", hint="one number a point")
    indices = create_angle_stratified_indices(arrays[0], target_chunk_size)
    copies = [np.empty_like(array) for array in arrays]
    at = 0
    for chosen in indices:
        for copy, array in zip(copies, arrays, strict=True):
            copy[at : at + len(chosen)] = array[chosen]
        at += len(chosen)
    return copies[0], copies[1], copies[2], copies[3], indices.sizes.sum(axis=1).tolist()


def _runs(phi: np.ndarray, angles: np.ndarray) -> np.ndarray | None:
    """Runs of equal angles: start, stop, number of the angle; None where they are too many to write down."""
    most = max(len(phi) // _POINTS_PER_RUN, len(angles))
    starts = [0]
    for at in range(0, len(phi) - 1, _ROWS):
        piece = phi[at : at + _ROWS + 1]
        starts += (at + 1 + np.flatnonzero(piece[1:] != piece[:-1])).tolist()
        if len(starts) > most:
            return None
    stops = [*starts[1:], len(phi)]
    return np.stack([starts, stops, np.searchsorted(angles, phi[starts])], axis=1).astype(np.int64)
