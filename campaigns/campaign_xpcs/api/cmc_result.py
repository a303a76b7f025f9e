"""What consensus Monte Carlo gives. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from campaign_xpcs.api.result import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """How the sampler did on one part of the data. A part with a verdict other than "kept" does not count."""

    n_points: int
    divergences: int
    n_draws: int
    rhat_max: float
    ess_min: float
    verdict: str

    @property
    def divergence_rate(self) -> float:
        return self.divergences / self.n_draws


@dataclass(frozen=True, kw_only=True, eq=False)
class CMCResult:
    """A posterior: of the physics where there is one part, whose contrasts and offsets are integrated out, else of all.

    Attributes:
        names: of the parameters, in order.
        draws: (n, d) of the posterior: the sampler's own of one part, else of the combined Gaussian in the coordinates
            in which the parts were combined (D0 and gamma_dot_t0 in their logarithms).
        mean, sd, covariance: of the draws.
        shards: how the sampler did on each part. R-hat and effective draws of a combined posterior do not exist.
        spread, spread_dof: Σ (m_k − m)ᵀ C_k⁻¹ (m_k − m) and what it is where the parts agree; NaN for one part.
        device_info: modes, priors, warm start, execution time.
        maps_info: what the parameters belong to.
    """

    names: tuple[str, ...]
    draws: Float[np.ndarray, "n d"]
    shards: tuple[Shard, ...]
    spread: float
    spread_dof: int
    device_info: Mapping[str, Any]
    maps_info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> dict[str, float]:
        return dict(zip(self.names, self.draws.mean(axis=0).tolist(), strict=True))

    @property
    def sd(self) -> dict[str, float]:
        return dict(zip(self.names, self.draws.std(axis=0, ddof=1).tolist(), strict=True))

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        return np.cov(self.draws, rowvar=False).reshape(len(self.names), len(self.names))

    @property
    def divergence_rate(self) -> float:
        """Of all parts together."""
        return sum(s.divergences for s in self.shards) / max(sum(s.n_draws for s in self.shards), 1)

    @property
    def agreement(self) -> float:
        """Chance of a spread as large where the parts agree; NaN for one part."""
        from scipy.stats import chi2

        return float(chi2.sf(self.spread, self.spread_dof)) if self.spread_dof > 0 else float("nan")

    def as_json(self) -> dict[str, Any]:
        quantiles = np.quantile(self.draws, [0.025, 0.16, 0.5, 0.84, 0.975], axis=0).T
        return plain(
            {
                "mean": self.mean,
                "sd": self.sd,
                "quantiles": dict(zip(self.names, quantiles.tolist(), strict=True)),
                "covariance": {"names": list(self.names), "values": self.covariance.tolist()},
                "n_draws": len(self.draws),
                "divergence_rate": self.divergence_rate,
                "spread": self.spread,
                "spread_dof": self.spread_dof,
                "agreement": self.agreement,
                "shards": [{name: getattr(one, name) for name in Shard.__dataclass_fields__} for one in self.shards],
                "device_info": self.device_info,
                "data": self.maps_info,
            }
        )
