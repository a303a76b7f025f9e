"""The draws of a sampler: what people ask of a chain, whether it lies in a campaign, in a file or in memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campaign import diagnostics
from campaign.analysis import streaming
from campaign.analysis.chain_kinds import ess_of, mcse_of
from campaign.analysis.chain_tables import frame_of, tree_of, write_getdist
from campaign.analysis.convergence import Convergence, judged
from campaign.analysis.rows import Rows, SideBySide
from campaign.analysis.spread import spread_rows
from campaign.diagnostics import TAU_WARNING
from campaign.errors import InvalidValue, UnknownName, nearest

if TYPE_CHECKING:
    import pandas
    import xarray

    from campaign.report.chain_plots import ChainPlots

MAX_JUDGED = 256 << 20  # bytes of draws that diagnostics look at; of a longer chain every second, third, … row
_PIECE = 4 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain:
    """Draws of W walkers (or independent chains) of d parameters in n stored rows.

    Row k holds sampler step (k + 1) · `thin`. `discard` counts sampler steps everywhere: it drops ⌈discard / thin⌉
    rows. Left out it is `burn_in`.

    Attributes:
        samples: (n, W, d).
        log_probs: ln posterior density there, (n, W).
        names: of the parameters.
        units: of the parameters; "" or nothing where they have none.
        thin: sampler steps a row.
        n_steps: sampler steps in all; n · thin when None.
        accepted: fraction of accepted proposals since the row before, (n, W) or over all walkers (n,); None: not kept.
        burn_in: sampler steps that the sampler itself left out of its results.
        n_ensembles: how many independent ensembles of W / n_ensembles consecutive walkers there are.
        failures: reason → how many evaluations of the model failed.
        by_walker: accepted fraction of each walker's proposals over all steps, (W,); None: not kept.
    """

    samples: Rows
    log_probs: Rows
    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    thin: int = 1
    n_steps: int | None = None
    accepted: Rows | None = None
    burn_in: int = 0
    n_ensembles: int = 1
    failures: Mapping[str, int] = field(default_factory=dict)
    by_walker: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.samples.shape)
        if len(shape) != 3 or shape[2] != len(self.names):
            raise InvalidValue(f"samples have shape {shape}, not (steps, walkers, {len(self.names)} parameters)")
        if tuple(self.log_probs.shape) != shape[:2]:
            raise InvalidValue(f"log_probs have shape {tuple(self.log_probs.shape)}, not {shape[:2]}")
        if self.accepted is not None and tuple(self.accepted.shape) not in (shape[:1], shape[:2]):
            raise InvalidValue(f"accepted has shape {tuple(self.accepted.shape)}, not {shape[:2]} or {shape[:1]}")
        if self.thin < 1 or shape[1] % self.n_ensembles:
            raise InvalidValue(f"thin is {self.thin}; {shape[1]} walkers are in {self.n_ensembles} ensembles")

    def __len__(self) -> int:
        """Stored rows."""
        return self.samples.shape[0]

    def __repr__(self) -> str:
        shown = f"{self.steps:,} steps, {len(self):,} stored, {self.n_walkers} walkers, {', '.join(self.names)}"
        return f"Chain({shown})"

    @property
    def n_walkers(self) -> int:
        return self.samples.shape[1]

    @property
    def steps(self) -> int:
        """Sampler steps, stored or not."""
        return len(self) * self.thin if self.n_steps is None else self.n_steps

    def first_row(self, discard: int | None = None) -> int:
        """The first row that is left when `discard` sampler steps are dropped.

        Raises:
            InvalidValue: nothing is left.
        """
        discard = self.burn_in if discard is None else discard
        first = -(-discard // self.thin)
        if not 0 <= discard < self.steps or first >= len(self):
            raise InvalidValue(
                f"discard = {discard:,} leaves nothing of a chain of {self.steps:,} steps",
                hint=f"it counts sampler steps, of which one in {self.thin} is stored: give less than {self.steps:,}",
            )
        return first

    def pieces(self, discard: int | None = None) -> Iterator[np.ndarray]:
        """The draws (rows, W, d), a few MB at a time, for chains larger than memory."""
        first, n = self.first_row(discard), len(self)
        length = getattr(self.samples, "encoding", {}).get("preferred_chunks", {}).get("step")
        length = length or max(1, _PIECE // (8 * self.n_walkers * len(self.names)))
        while first < n:
            end = min(n, (first // length + 1) * length)
            yield np.asarray(self.samples[first:end], np.float64)
            first = end

    def judged_draws(self, discard: int | None = None) -> tuple[np.ndarray, int]:
        """The draws (rows, W, d) that diagnostics look at, and every how many rows one is taken: 1 up to 256 MiB."""
        first = self.first_row(discard)
        n_bytes = 8 * (len(self) - first) * self.n_walkers * len(self.names)
        stride = max(1, -(-n_bytes // MAX_JUDGED))
        return np.asarray(self.samples[first::stride], np.float64), stride

    def flat_samples(self, discard: int | None = None) -> np.ndarray:
        """All draws (rows · W, d): all walkers of a row, then the next row."""
        return np.asarray(self.samples[self.first_row(discard) :], np.float64).reshape(-1, len(self.names))

    def r_hat(self, discard: int | None = None, *, over: str | None = None) -> dict[str, float]:
        """Rank-normalised split R-hat of each parameter, the larger of bulk and folded; NaN for a constant.

        Args:
            over: "ensembles": the draws of an ensemble, row after row, are one chain; "walkers": walkers are chains.
                Those of one ensemble are not independent: that tells whether they have mixed. Ensembles where there
                are several, else walkers.
        """
        over = over or ("ensembles" if self.n_ensembles > 1 else "walkers")
        if over not in ("ensembles", "walkers"):
            raise UnknownName(f"R-hat over `{over}`", hint=nearest(over, ("ensembles", "walkers")))
        draws, _ = self.judged_draws(discard)
        return self._each(diagnostics.rhat, self._by_ensemble(draws) if over == "ensembles" else draws)

    def ess(self, discard: int | None = None, kind: str = "bulk", probability: float = 0.5) -> dict[str, float]:
        """Effective number of independent draws, over all walkers, of each parameter.

        Args:
            kind: "bulk", "tail" (the smaller of the 5 % and 95 % quantiles), "mean", "sd", "quantile" (that of
                `probability`), or "tau": draws over autocorrelation time.
        """
        draws, stride = self.judged_draws(discard)
        if kind == "tau":
            size = draws.shape[0] * draws.shape[1]
            return {name: size * stride * self.thin / tau for name, tau in self._taus(draws, stride).items()}
        return self._each(ess_of(kind, probability), draws)

    def mcse(self, discard: int | None = None, kind: str = "mean", probability: float = 0.5) -> dict[str, float]:
        """Monte Carlo standard error of each parameter's "mean", "sd" or "quantile" (that of `probability`)."""
        draws, _ = self.judged_draws(discard)
        return self._each(mcse_of(kind, probability), draws)

    def autocorr_time(self, discard: int | None = None) -> dict[str, float]:
        """Integrated autocorrelation time τ of each parameter [sampler steps], averaged over the walkers.

        At least thin/log10(draws), since antithetic chains have τ near 0 or below; NaN where nothing moves. Warns
        where the chain is shorter than 50 τ: then τ is too small.
        """
        draws, stride = self.judged_draws(discard)
        taus = self._taus(draws, stride)
        length = draws.shape[0] * stride * self.thin
        short = [f"`{name}` {length / tau:.0f}" for name, tau in taus.items() if length < TAU_WARNING * tau]
        if short:
            warnings.warn(
                f"the chain is shorter than {TAU_WARNING:.0f} autocorrelation times, so they are too small: "
                f"{', '.join(short)}; run it longer",
                stacklevel=2,
            )
        return taus

    def acceptance_fraction(self) -> np.ndarray:
        """Fraction of accepted proposals of each walker (W,).

        Where the sampler kept none and every step is stored: fraction of steps in which a walker moved.

        Raises:
            InvalidValue: neither is there.
        """
        if self.by_walker is not None:
            return np.asarray(self.by_walker, np.float64)
        if self.accepted is not None and len(self.accepted.shape) == 2:
            return np.asarray(self.accepted[:], np.float64).mean(axis=0)
        if self.thin > 1 or len(self) < 2:
            raise InvalidValue(
                f"acceptance by walker was not kept, and one step in {self.thin} does not tell it",
                hint="`mean_acceptance_rate` is of all walkers; record `accepted` by walker, or each step",
            )
        moved, last = np.zeros(self.n_walkers), None
        for piece in self.pieces(0):
            joined = piece if last is None else np.concatenate([last, piece])
            moved += (joined[1:] != joined[:-1]).any(axis=2).sum(axis=0)
            last = piece[-1:]
        return moved / (len(self) - 1)

    def mean_acceptance_rate(self) -> float:
        """Fraction of accepted proposals of all walkers."""
        if self.accepted is None:
            return float(self.acceptance_fraction().mean())
        return float(np.mean(np.asarray(self.accepted[:], np.float64)))

    def is_converged(self, discard: int | None = None, r_hat_threshold: float | None = None) -> Convergence:
        """Whether the chain has converged, true or false, with the reasons why not.

        It has when, for each parameter, R-hat is at most the threshold (1.01 over several ensembles; 1.05 over the
        walkers of one), there are 400 effective draws in the bulk, and the chain is longer than 50 τ.
        """
        try:
            draws, stride = self.judged_draws(discard)
        except InvalidValue as error:
            return Convergence(reasons=(error.message,))
        return judged(
            r_hat=self._each(diagnostics.rhat, self._by_ensemble(draws) if self.n_ensembles > 1 else draws),
            ess=self._each(diagnostics.ess_bulk, draws),
            taus=self._taus(draws, stride),
            length=draws.shape[0] * stride * self.thin,
            n_ensembles=self.n_ensembles,
            threshold=r_hat_threshold,
        )

    def moments(self, discard: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean (d,) and covariance (d, d) of all draws, in one pass."""
        return streaming.moments(self._flat_pieces(discard))

    def quantiles(self, probabilities: Sequence[float], discard: int | None = None) -> np.ndarray:
        """Quantiles (len(probabilities), d) of all draws, those of `numpy.quantile`, in four passes of flat memory."""
        n = (len(self) - self.first_row(discard)) * self.n_walkers
        return streaming.quantiles(lambda: self._flat_pieces(discard), n, probabilities)

    def subsample(self, n: int, seed: int, discard: int | None = None) -> np.ndarray:
        """n different draws (n, d), spread so that every marginal is kept. See `spread.spread_rows`."""
        draws = self.judged_draws(discard)[0].reshape(-1, len(self.names))
        return draws[spread_rows(draws, n, seed)]

    def merge(self, *others: Chain) -> Chain:
        """Independent ensembles of equal length side by side: more walkers, and R-hat between ensembles.

        Raises:
            InvalidValue: names, thinning, length or number of walkers differ.
        """
        chains = (self, *others)
        shapes = {(c.names, c.thin, c.steps, len(c), c.n_walkers // c.n_ensembles) for c in chains}
        if len(shapes) > 1:
            raise InvalidValue(
                f"chains differ in parameters, thinning, length or walkers: {', '.join(map(repr, chains))}",
                hint="merge ensembles that were run alike",
            )
        accepted = [c.accepted for c in chains if c.accepted is not None and len(c.accepted.shape) == 2]
        each = [c.by_walker for c in chains if c.by_walker is not None]
        return replace(
            self,
            samples=SideBySide([c.samples for c in chains]),
            log_probs=SideBySide([c.log_probs for c in chains]),
            accepted=SideBySide(accepted) if len(accepted) == len(chains) else None,
            by_walker=np.concatenate(each) if len(each) == len(chains) else None,
            burn_in=max(c.burn_in for c in chains),
            n_ensembles=sum(c.n_ensembles for c in chains),
            failures={k: sum(c.failures.get(k, 0) for c in chains) for k in {k for c in chains for k in c.failures}},
        )

    def to_dataframe(self, discard: int | None = None, *, with_indices: bool = False) -> pandas.DataFrame:
        """One row a draw, a column a parameter; `with_indices` adds step, walker and log_prob."""
        return frame_of(self, self.first_row(discard), with_indices=with_indices)

    def to_inference_data(self, discard: int | None = None) -> xarray.DataTree:
        """For ArviZ: the groups `posterior` and `sample_stats` (lp) over (chain, draw); walkers are its chains."""
        return tree_of(self, self.first_row(discard))

    def to_getdist(self, root: str | Path, discard: int | None = None) -> list[Path]:
        """Write files for GetDist and CosmoMC, and give their paths: ``<root>_1.txt`` …, ``<root>.paramnames``.

        ``getdist.loadMCSamples(root)`` reads them; each independent ensemble is a chain, each draw has the weight 1.
        """
        return write_getdist(self, self.first_row(discard), Path(root))

    @property
    def plot(self) -> ChainPlots:
        """Pictures: `chain.plot.trace()`, `corner`, `autocorr`, `acceptance`, `rank`, `posterior_predictive`."""
        from campaign.registry import load_reference

        return load_reference("campaign.report.chain_plots:ChainPlots")(self)  # pictures lie above what they are of

    def _flat_pieces(self, discard: int | None) -> Iterator[np.ndarray]:
        return (piece.reshape(-1, len(self.names)) for piece in self.pieces(discard))

    def _each(self, judge: Callable[[np.ndarray], float], draws: np.ndarray) -> dict[str, float]:
        return {name: judge(np.ascontiguousarray(draws[:, :, i])) for i, name in enumerate(self.names)}

    def _taus(self, draws: np.ndarray, stride: int) -> dict[str, float]:
        least = 1.0 / math.log10(max(draws.shape[0] * draws.shape[1], 10))
        found = self._each(diagnostics.autocorrelation_time, draws)
        return {name: max(tau, least) * stride * self.thin for name, tau in found.items()}

    def _by_ensemble(self, draws: np.ndarray) -> np.ndarray:
        """(rows, W, d) → (rows · W / n_ensembles, n_ensembles, d): each ensemble as one chain, row after row."""
        n, walkers, d = draws.shape
        split = draws.reshape(n, self.n_ensembles, walkers // self.n_ensembles, d)
        return split.transpose(0, 2, 1, 3).reshape(-1, self.n_ensembles, d)
