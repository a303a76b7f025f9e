"""Have the chains of a sampler mixed? One monitor and one set of words for every sampler."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from campaign.diagnostics import RHAT_WARNING, TAU_WARNING, Mixed, mixed
from campaign.engines.monitor import Moments, Snapshots, capacity_for

ESS_WARNING = 400.0  # fewer effective draws, and R-hat and quantiles are not to be trusted (Vehtari et al. 2021)


class Mixing:
    """The monitor of a sampler: posterior mean and covariance, R-hat, effective sample sizes and autocorrelation time.

    Moments are over all draws after burn-in. Mixing is judged on at most ½ MB of a run's draws: all of them while they
    fit, else every second, fourth, … step. What is reported then is on the safe side: effective sample sizes count the
    kept draws only, and tau is at least the stride.

    The state of the engine has the fields `mean` and `covariance`, which are filled in before it finishes.

    Args:
        field: traced draws, (step, chain, parameter).
        skip: recorded steps of burn-in.
        thin: updates a recorded step; tau is reported in updates.
    """

    def __init__(self, field: str, *, skip: int, thin: int = 1) -> None:
        self.field, self.skip, self.thin = field, skip, thin
        self.kept: Snapshots | None = None
        self.moments = Moments(skip)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.field,)

    def take(self, fields: Mapping[str, np.ndarray], n_before: int, n_after: int) -> None:
        if self.kept is None:
            self.kept = self._store(fields[self.field].shape[2:])
        self.kept.take(fields, n_before, n_after)
        with _quiet():
            self.moments.take(fields[self.field][:, : n_after - n_before], n_before)

    def metrics(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        """The worst over the parameters of each run; NaN where a run has too few draws.

        Returns:
            rhat_max, ess_bulk_min, ess_tail_min (walkers taken as chains), tau_max [updates], n_effective = draws /
            tau, chain_taus = length of the kept chain in tau.
        """
        stride = 1 if self.kept is None else self.kept.stride
        with ThreadPoolExecutor(max(1, min(len(n_steps), len(os.sched_getaffinity(0))))) as pool:
            each = list(pool.map(lambda run: self._judged(run, int(n_steps[run])), range(len(n_steps))))
        columns = np.array([[m.rhat, m.ess_bulk, m.ess_tail, m.tau, size] for m, size in each]).T
        worst_rhat, bulk, tail, tau, n_chains = columns
        tau = tau * stride
        length = np.maximum(0, n_steps - self.skip)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "rhat_max": worst_rhat,
                "ess_bulk_min": bulk,
                "ess_tail_min": tail,
                "tau_max": self.thin * tau,
                "chain_taus": length / np.maximum(tau, 1.0),
                "n_effective": length * n_chains / np.maximum(tau, 1.0),
            }

    def estimates(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        with _quiet():
            n, mean, covariance = self.moments.of()
        return {"mean": mean, "covariance": covariance} if n.size else {}

    def leaves(self) -> list[np.ndarray]:
        return [] if self.kept is None else [*self.moments.leaves(), *self.kept.leaves()]

    def load(self, leaves: Sequence[np.ndarray]) -> None:
        if leaves:
            self.moments.load(leaves[:5])
            self.kept = self._store(leaves[5].shape[2:])
            self.kept.load(leaves[5:])

    def _store(self, shape: tuple[int, ...]) -> Snapshots:
        return Snapshots(self.field, self.skip, capacity_for(8 * int(np.prod(shape))))

    def _judged(self, run: int, n_steps: int) -> tuple[Mixed, int]:
        """The worst numbers over the parameters of one run, and its number of chains."""
        draws = None if self.kept is None else self.kept.of(run, n_steps)
        if draws is None or len(draws) < 2:
            return Mixed(*[np.nan] * 4), 0
        with _quiet():
            each = np.array([mixed(np.ascontiguousarray(draws[:, :, j])) for j in range(draws.shape[2])])
        low, high = each.min(axis=0), each.max(axis=0)  # NaN wins
        return Mixed(high[0], low[1], low[2], high[3]), draws.shape[1]


def _quiet() -> np.errstate:
    """Draws that run away overflow here: `mixing_remarks` says so."""
    return np.errstate(over="ignore", invalid="ignore")


def mixing_remarks(
    metrics: Mapping[str, np.ndarray],
    hint: str,
    rhat: float = RHAT_WARNING,
    ess: float = ESS_WARNING,
    taus: float = TAU_WARNING,
) -> list[str]:
    """A warning for each run whose chains have not mixed; else "".

    Args:
        rhat: R-hat above this; ess: effective sample size below this; taus: chains shorter than so many tau.
    """
    texts = []
    names = ("rhat_max", "ess_bulk_min", "chain_taus")
    for is_rhat, is_ess, is_taus in zip(*(metrics[name].tolist() for name in names), strict=True):
        found = []
        if not is_rhat <= rhat:
            found.append(f"R-hat {is_rhat:.3f} is above {rhat}")
        if not is_ess >= ess:
            found.append(f"{is_ess:.0f} effective draws are fewer than {ess:.0f}")
        if np.isnan(is_taus) and np.isfinite(is_rhat):
            found.append("the draws run away (a parameter without bounds that the data do not constrain?)")
        elif not is_taus >= taus:
            found.append(f"the chain is {is_taus:.0f} autocorrelation times long, not {taus:.0f}")
        texts.append(f"not mixed: {'; '.join(found)}: {hint}" if found else "")
    return texts
