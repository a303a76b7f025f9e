"""What a fitter is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaign.science import Blind, CampaignError
from campaign_cosmology.api.results import ResultsDict
from campaign_cosmology.judge.comparison import Comparison
from campaign_cosmology.judge.robustness import Refit, Resampling
from campaign_cosmology.judge.uncertainty import Profile, ProfileError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a fitter is asked for.

    Attributes:
        optimize: parameters that move; empty: evaluate only.
        overrides: values and conventions over the stored defaults.
        save: store the optimum; None: when CMB data take part. dry_run: store nothing.
        use_stored: start from stored values at all. use_cache: take what an equal optimisation has found before.
        warm_start: start from the last successful optimum younger than 24 hours.
        profiles: parameters whose profile is wanted. profile_errors: Δchi2 = 1 errors for every free parameter.
        priors: uniform and truncated ones, as manifests write them; `optimizer` has their bounds.
        n_bootstrap, with_jackknife, with_leave_out: robustness. against: a model to compare with.
        blind: parameters that are shown shifted; nothing of such a fit is stored.
    """

    model: str
    datasets: tuple[str, ...]
    optimize: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    cov_scale: float = 1.0
    save: bool | None = None
    dry_run: bool = False
    use_stored: bool = True
    use_cache: bool = True
    warm_start: bool = False
    profiles: tuple[str, ...] = ()
    profile_errors: bool = False
    n_bootstrap: int = 0
    with_jackknife: bool = False
    with_leave_out: bool = False
    against: str | None = None
    blind: Blind | None = None
    priors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a fitter gives: the result, what was done with it, the additions, why the optimum could not be stored."""

    results: ResultsDict
    messages: list[str]
    profiles: list[Profile] = field(default_factory=list)
    errors: list[ProfileError] = field(default_factory=list)
    resamplings: list[Resampling] = field(default_factory=list)
    refits: dict[str, list[Refit]] = field(default_factory=dict)
    failure: CampaignError | None = None
    other: ResultsDict | None = None
    comparison: Comparison | None = None
