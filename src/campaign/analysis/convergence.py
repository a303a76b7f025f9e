"""Has a chain converged? A verdict that is true or false and says why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.diagnostics import RHAT_WARNING, TAU_WARNING

RHAT_ENSEMBLES = 1.01  # Vehtari et al. 2021, sec. 5, for independent chains
ENOUGH_ESS = 400.0  # the same: fewer, and R-hat itself is not to be trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """True where there is no reason against it.

    Attributes:
        reasons: why not, one a finding.
    """

    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return f"no: {'; '.join(self.reasons)}" if self.reasons else "yes"


def judged(
    *,
    r_hat: Mapping[str, float],
    ess: Mapping[str, float],
    taus: Mapping[str, float],
    length: int,
    n_ensembles: int,
    threshold: float | None = None,
) -> Convergence:
    """The verdict on numbers by parameter; a NaN, of a parameter that never moves or a chain too short, is against it.

    Args:
        taus: autocorrelation times [sampler steps].
        length: of the chain [sampler steps].
        threshold: of R-hat; None is 1.01 over several ensembles, 1.05 over the walkers of one.
    """
    limit = threshold if threshold is not None else RHAT_ENSEMBLES if n_ensembles > 1 else RHAT_WARNING
    what = "between ensembles" if n_ensembles > 1 else "between walkers"
    reasons = []
    for name, value in r_hat.items():
        if value != value:
            reasons.append(f"`{name}` has no R-hat: it is constant, not finite, or the chain is too short")
            continue
        if value > limit:
            reasons.append(f"`{name}`: R-hat {what} is {value:.4g}, above {limit:g}")
        if not ess[name] >= ENOUGH_ESS:
            reasons.append(f"`{name}`: {ess[name]:.0f} effective draws, fewer than {ENOUGH_ESS:.0f}")
        if not length > TAU_WARNING * taus[name]:
            reasons.append(
                f"`{name}`: the chain is {length / taus[name]:.0f} autocorrelation times long, not {TAU_WARNING:.0f}"
            )
    return Convergence(reasons=tuple(reasons))
