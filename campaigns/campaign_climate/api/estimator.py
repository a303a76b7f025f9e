"""Point estimates under the names of the design document: a face of the engines that look for one best place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import Fit, InvalidValue, Unavailable, UnknownName, fits, nearest
from campaign_climate.api.calibration import calibration, pieces, space_of

_LIKELIHOOD_ENGINES = {"trf": "trf", "nelder-mead": "nelder-mead", "differential-evolution": "differential-evolution"}
_LATER = ("l-bfgs", "particle-swarm")
_SPELLINGS = {
    "lbfgs": "l-bfgs",
    "neldermead": "nelder-mead",
    "particleswarm": "particle-swarm",
    "randomsearch": "random-search",
}
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Optimizer:
    """How to look, under rscm's name: ``Optimizer.random_search()``."""

    method: str

    @classmethod
    def random_search(cls) -> Optimizer:
        return cls("random-search")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointEstimateResult:
    """The best place that was found.

    Attributes:
        best_params: by name.
        best_likelihood: ln L there.
        best_log_posterior: ln L + ln prior there.
        samples: places that the engine recorded (n, d). likelihoods: ln L at them (n,).
        n_evals: evaluations of the model.
        converged: whether the best restart says so. message: how it ended.
        restarts: outcome and numbers of each.
    """

    best_params: dict[str, float]
    best_likelihood: float
    best_log_posterior: float
    samples: np.ndarray
    likelihoods: np.ndarray
    n_evals: int
    converged: bool
    message: str
    restarts: tuple[Fit, ...]

    @property
    def best_log_likelihood(self) -> float:
        """rscm's name of `best_likelihood`."""
        return self.best_likelihood


class PointEstimator:
    """Looks for the parameters that fit a target best.

    Args:
        parameters: a `ParameterSet`, or a mapping name → prior.
        target, runner, likelihood: in this order, or by name; rscm's order (runner, likelihood, target) works too.
    """

    def __init__(
        self, parameters: Any, *parts: Any, target: Any = None, runner: Any = None, likelihood: Any = None
    ) -> None:
        self.space = space_of(parameters)
        self.problem = calibration(self.space, *pieces((*parts, target, runner, likelihood)))

    @property
    def param_names(self) -> tuple[str, ...]:
        return self.space.free_names

    def optimize(
        self,
        method: str | Optimizer = "L-BFGS",
        n_restarts: int = 1,
        *,
        n_samples: int = 1000,
        seed: int = 0,
        objective: str | None = None,
    ) -> PointEstimateResult:
        """Look for the best place.

        Args:
            method: "random-search": `n_samples` draws from the prior. "trf" (least squares), "nelder-mead",
                "differential-evolution": the highest likelihood. "L-BFGS" and "particle-swarm" are not there yet.
            n_restarts: starts: the median of the priors, then draws from them.
            n_samples: of "random-search".
            seed: of the draws.
            objective: "posterior" or "likelihood"; None is what the method does.

        Raises:
            UnknownName: no such method. InvalidValue: the method does not do that objective.
            Unavailable: a method that is not there yet.
        """
        name = _method(method)
        own = "posterior" if name == "random-search" else "likelihood"
        if objective not in (None, "posterior", "likelihood"):
            raise InvalidValue(f"`objective` is {objective!r}", hint="'posterior' or 'likelihood'")
        if n_restarts < 1 or n_samples < 1:
            raise InvalidValue(f"{n_restarts} restarts, {n_samples} samples", hint="at least 1")
        if name == "random-search":
            starts = self._draws(n_samples, seed)
            found = [fit for i in range(0, n_samples, _BLOCK) for fit in self._fits("evaluate", starts[i : i + _BLOCK])]
            return self._result(found, np.array([list(s.values()) for s in starts]), objective or own, n_samples)
        if objective == "posterior":
            raise Unavailable(
                f"`{name}` looks for the highest likelihood, not for that of the posterior",
                hint='objective="likelihood"',
            )
        starts = [{}, *self._draws(n_restarts - 1, seed)]
        found = self._fits(name, starts)
        return self._result(found, None, "likelihood", sum(fit.n_evaluations for fit in found))

    def _fits(self, engine: str, starts: list[dict[str, float]]) -> list[Fit]:
        return fits(self.problem, engine, starts)

    def _draws(self, n: int, seed: int) -> list[dict[str, float]]:
        """n draws from the priors, flat between bounds where there is none."""
        rng = np.random.default_rng(seed)
        unit = rng.random((n, len(self.param_names)))
        columns = []
        for i, name in enumerate(self.param_names):
            own = self.space[name]
            if own.prior is None and not np.isfinite(own.upper - own.lower):
                raise InvalidValue(f"`{name}` has no prior to draw from", hint="give it a prior")
            columns.append(
                own.prior.ppf(unit[:, i]) if own.prior is not None else own.lower + unit[:, i] * (own.upper - own.lower)
            )
        return [dict(zip(self.param_names, (float(x) for x in row), strict=True)) for row in zip(*columns, strict=True)]

    def _result(
        self, found: list[Fit], samples: np.ndarray | None, objective: str, n_evals: int
    ) -> PointEstimateResult:
        likelihoods = np.array([-fit.loss for fit in found])
        priors = np.array([self._log_prior(fit.theta) for fit in found])
        weighed = likelihoods + (priors if objective == "posterior" else 0.0)
        weighed = np.where(np.isfinite(weighed), weighed, -np.inf)
        if not np.isfinite(weighed).any():
            raise InvalidValue(
                "no place has a finite likelihood", hint=f"the first ended with: {found[0].message or found[0].outcome}"
            )
        best = found[int(np.argmax(weighed))]
        if samples is None:
            samples = np.concatenate([fit.trace["theta"].reshape(-1, len(self.param_names)) for fit in found])
            likelihoods = np.concatenate([-np.asarray(fit.trace["loss"]).reshape(-1) for fit in found])
        return PointEstimateResult(
            best_params={name: best.theta[name] for name in self.space.names},
            best_likelihood=-best.loss,
            best_log_posterior=-best.loss + self._log_prior(best.theta),
            samples=samples,
            likelihoods=likelihoods,
            n_evals=n_evals,
            converged=best.outcome == "converged",
            message=best.message or best.outcome,
            restarts=tuple(found),
        )

    def _log_prior(self, theta: dict[str, float]) -> float:
        known = [(p.prior, theta[p.name]) for p in self.space.parameters if p.free and p.prior is not None]
        return float(sum(float(prior.log_density(np.asarray(value))) for prior, value in known))


def _method(method: str | Optimizer) -> str:
    text = (method.method if isinstance(method, Optimizer) else method).lower().replace("_", "-")
    name = _SPELLINGS.get(text.replace("-", ""), text)
    if name in _LATER:
        raise Unavailable(
            f"the method `{method}` is not there yet", hint=f"{', '.join((*_LIKELIHOOD_ENGINES, 'random-search'))} are"
        )
    if name not in (*_LIKELIHOOD_ENGINES, "random-search"):
        raise UnknownName(f"unknown method `{method}`", hint=nearest(name, (*_LIKELIHOOD_ENGINES, "random-search")))
    return name
