"""How a fit goes over its points: all at once, in chunks, or from a file. No JAX."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from campaign.science import InvalidValue, nearest
from campaign_xpcs.api.memory import (
    GB,
    GIB,
    available_memory,
    checked_size,
    index_memory,
    memory_fraction,
    peak_memory_document,
    total_memory,
)
from campaign_xpcs.data.held import BASE, COLUMNS, PER_NUMBER

Rule = Literal["measured", "document-2.20", "homodyne-2.23"]
MANY_POINTS = 1_000_000  # from which the document's tree goes out of core


class NLSQStrategy(Enum):
    """How a fit goes over its points. The three reach the same optimum: JᵀJ is summed before every step.

    Attributes:
        executor: the document's name of what runs it.
        uses: what that is here.
    """

    executor: str
    uses: str

    STANDARD = "standard", "StandardExecutor", "all points at once"
    OUT_OF_CORE = "out_of_core", "LargeDatasetExecutor", "JᵀJ and Jᵀr summed over chunks of points"
    HYBRID_STREAMING = "hybrid", "StreamingExecutor", "chunks of points, which are read from a file"

    def __new__(cls, value: str, executor: str, uses: str) -> NLSQStrategy:
        member = object.__new__(cls)
        member._value_ = value
        member.executor = executor
        member.uses = uses
        return member


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Peak memory above the imports, measured: constant + per_number · n_points · p [bytes].

    p counts the columns that a row block has at once: parameters of the physics and of one angle, at most `columns`.
    The scaling of other angles adds nothing.

    Source: benchmarks/xpcs_memory.py, 1 to 23 million points.
    """

    constant: float
    per_number: float
    columns: int

    def gb(self, n_points: int, n_params: int) -> float:
        return (self.constant + self.per_number * n_points * min(n_params, self.columns)) / GB


MEASURED = PeakMemory(constant=BASE["memory"], per_number=PER_NUMBER["memory"], columns=COLUMNS[True])
POINT_BYTES = 26  # of a pair of frames that stays in memory: c2 and mask on both sides, data on one


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyDecision:
    """What was chosen, and why.

    Attributes:
        threshold_gb, peak_memory_gb, index_memory_gb: what was compared; GiB under the rule of homodyne 2.23.
        reason: the comparison in words.
    """

    strategy: NLSQStrategy
    rule: Rule
    threshold_gb: float
    peak_memory_gb: float
    index_memory_gb: float
    reason: str


def select_nlsq_strategy(
    n_points: int,
    n_params: int,
    *,
    rule: Rule = "measured",
    fraction: float | None = None,
    memory_gb: float | None = None,
) -> StrategyDecision:
    """Choose how a fit goes over its points.

    measured:
        STANDARD while the measured peak a + b·n·p fits; else OUT_OF_CORE while the points themselves fit; else
        HYBRID_STREAMING. Memory is what is free, or what the cgroup leaves where that is less.
    document-2.20 (its decision tree; its table says HYBRID_STREAMING wherever the peak does not fit):
        peak fits: STANDARD below a million points, else OUT_OF_CORE. It does not: HYBRID_STREAMING where an index of
        all points does not fit either, else OUT_OF_CORE. Memory is the machine's.
    homodyne-2.23:
        HYBRID_STREAMING where the index does not fit; OUT_OF_CORE where the peak does not; else STANDARD.

    Args:
        n_points: of the data. n_params: that move.
        fraction: of the memory that may be used; None: NLSQ_MEMORY_FRACTION, or 0.75; clamped to 0.1 … 0.9.
        memory_gb: instead of what the machine has.

    Checked: tests/unit/xpcs/api/test_xpcs_strategy.py, the truth table of each rule.
    """
    if rule not in get_args(Rule):
        raise InvalidValue(f"`rule` is {rule!r}", hint=nearest(str(rule), get_args(Rule)))
    checked_size(n_points, n_params)
    unit = GIB if rule == "homodyne-2.23" else GB
    if memory_gb is not None:
        memory, source = float(memory_gb), "given"
    else:
        found, source = available_memory() if rule == "measured" else total_memory()
        memory = found / unit
    part, part_source = memory_fraction(fraction)
    threshold = part * memory
    if rule == "measured":
        peak, index = MEASURED.gb(n_points, n_params), n_points * POINT_BYTES / GB
    else:
        peak, index = peak_memory_document(n_points, n_params, unit=unit), index_memory(n_points, unit=unit)
    chosen = _TREES[rule](n_points, peak <= threshold, index <= threshold)
    name = "GiB" if unit == GIB else "GB"
    reason = (
        f"{rule}: {n_points} points and {n_params} parameters, peak {peak:.3g} {name}, "
        f"{'points' if rule == 'measured' else 'index'} {index:.3g} {name}, threshold {threshold:.3g} {name} "
        f"= {part:g} ({part_source}) of {memory:.3g} {name} ({source}): {chosen.uses}"
    )
    return StrategyDecision(
        strategy=chosen,
        rule=rule,
        threshold_gb=threshold,
        peak_memory_gb=peak,
        index_memory_gb=index,
        reason=reason,
    )


def _measured(n_points: int, peak_fits: bool, index_fits: bool) -> NLSQStrategy:
    if peak_fits:
        return NLSQStrategy.STANDARD
    return NLSQStrategy.OUT_OF_CORE if index_fits else NLSQStrategy.HYBRID_STREAMING


def _document(n_points: int, peak_fits: bool, index_fits: bool) -> NLSQStrategy:
    if peak_fits:
        return NLSQStrategy.STANDARD if n_points < MANY_POINTS else NLSQStrategy.OUT_OF_CORE
    return NLSQStrategy.OUT_OF_CORE if index_fits else NLSQStrategy.HYBRID_STREAMING


def _homodyne(n_points: int, peak_fits: bool, index_fits: bool) -> NLSQStrategy:
    if not index_fits:
        return NLSQStrategy.HYBRID_STREAMING
    return NLSQStrategy.STANDARD if peak_fits else NLSQStrategy.OUT_OF_CORE


_TREES = {"measured": _measured, "document-2.20": _document, "homodyne-2.23": _homodyne}
