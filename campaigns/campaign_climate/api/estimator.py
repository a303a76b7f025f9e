"""Point estimates under the names of the design document: a face of the engines that look for one best place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import Fit, InvalidValue, Problem, ThetaSpace, UnknownName, fits, nearest
from campaign_climate.api.calibration import WithPrior, calibration, log_prior, pieces, space_of

_METHODS = ("l-bfgs", "nelder-mead", "particle-swarm", "random-search", "differential-evolution", "trf")
_OF_POSTERIOR = ("l-bfgs", "particle-swarm")  # engines that know the priors themselves
_SIMPLEX = {"adaptive": True, "xtol": 1e-6, "ftol": 1e-10}
_SWARM_STEPS = 1000
_BOX = {"reach": 1000.0}  # ten standard deviations of a prior without bounds: a scale is 0.01 of one
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
        covariance: of the parameters by the curvature at the best place (d, d); None where the method gives none.
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
    covariance: np.ndarray | None = None

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
            method: "L-BFGS" (with gradients), "nelder-mead", "particle-swarm", "differential-evolution" (without),
                "trf" (least squares: the likelihood alone), "random-search": `n_samples` draws from the prior.
            n_restarts: starts: the median of the priors, then a Latin hypercube of draws from them.
            n_samples: of "random-search".
            seed: of the draws.
            objective: "posterior" or "likelihood"; None is the posterior wherever the method can.

        Raises:
            UnknownName: no such method. InvalidValue: the method does not do that objective.
        """
        name = _method(method)
        own = objective or ("likelihood" if name == "trf" else "posterior")
        if own not in ("posterior", "likelihood"):
            raise InvalidValue(f"`objective` is {objective!r}", hint="'posterior' or 'likelihood'")
        if own == "posterior" and name == "trf":
            raise InvalidValue("`trf` looks for the highest likelihood alone", hint='"L-BFGS" for the posterior')
        if n_restarts < 1 or n_samples < 1:
            raise InvalidValue(f"{n_restarts} restarts, {n_samples} samples", hint="at least 1")
        if name == "random-search":
            starts = draws(self.space, n_samples, seed)
            blocks = [starts[i : i + _BLOCK] for i in range(0, n_samples, _BLOCK)]
            found = [fit for block in blocks for fit in fits(self.problem, "evaluate", block)]
            return self._result(found, own, n_samples, samples=np.array([list(s.values()) for s in starts]))
        starts = [{}, *draws(self.space, n_restarts - 1, seed)]
        problem: Any = self.problem
        if own == "posterior" and name not in _OF_POSTERIOR:
            problem = WithPrior(space=self.space, problem=self.problem)
        options = {"l-bfgs": {"objective": own}, "particle-swarm": {"objective": own, "max_steps": _SWARM_STEPS}}
        found = fits(
            problem,
            name.replace("l-bfgs", "lbfgs"),
            starts,
            seed=seed,
            engine_options={**options, "nelder-mead": _SIMPLEX, "differential-evolution": _BOX}.get(name),
        )
        has_prior = own == "posterior"  # in what the engine minimised
        loses_prior = name in _OF_POSTERIOR  # in its `loss`, which is −ln L
        n_evals = sum(fit.n_evaluations for fit in found)
        return self._result(
            found, own, n_evals, trace_has_prior=has_prior, loss_has_prior=has_prior and not loses_prior
        )

    def _result(
        self,
        found: list[Fit],
        objective: str,
        n_evals: int,
        *,
        samples: np.ndarray | None = None,
        trace_has_prior: bool = False,
        loss_has_prior: bool = False,
    ) -> PointEstimateResult:
        priors = log_prior(self.space, np.array([[fit.theta[n] for n in self.param_names] for fit in found]))
        likelihoods = np.array([-fit.loss for fit in found]) - (priors if loss_has_prior else 0.0)
        weighed = likelihoods + (priors if objective == "posterior" else 0.0)
        weighed = np.where(np.isfinite(weighed), weighed, -np.inf)
        if not np.isfinite(weighed).any():
            raise InvalidValue(
                "no place has a finite likelihood", hint=f"the first ended with: {found[0].message or found[0].outcome}"
            )
        at = int(np.argmax(weighed))
        best, of_samples = found[at], likelihoods
        if samples is None:
            samples = np.concatenate([fit.trace["theta"].reshape(-1, len(self.param_names)) for fit in found])
            of_samples = np.concatenate([-np.asarray(fit.trace["loss"]).reshape(-1) for fit in found])
            of_samples = of_samples - (log_prior(self.space, samples) if trace_has_prior else 0.0)
        return PointEstimateResult(
            best_params={name: best.theta[name] for name in self.space.names},
            best_likelihood=float(likelihoods[at]),
            best_log_posterior=float(likelihoods[at] + priors[at]),
            samples=samples,
            likelihoods=of_samples,
            n_evals=n_evals,
            converged=best.outcome == "converged",
            message=best.message or best.outcome,
            restarts=tuple(found),
            covariance=best.arrays.get("covariance"),
        )


def draws(space: ThetaSpace, n: int, seed: int) -> list[dict[str, float]]:
    """n draws from the priors, flat between bounds where there is none: a Latin hypercube.

    Raises:
        InvalidValue: a parameter has neither a prior nor two bounds.
    """
    rng = np.random.default_rng(seed)
    names, columns = space.free_names, []
    for name in names:
        own, unit = space[name], (rng.permutation(n) + rng.random(n)) / max(n, 1)
        if own.prior is None and not np.isfinite(own.upper - own.lower):
            raise InvalidValue(f"`{name}` has no prior to draw from", hint="give it a prior")
        columns.append(own.prior.ppf(unit) if own.prior is not None else own.lower + unit * (own.upper - own.lower))
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)]


def highest(problem: Problem, space: ThetaSpace, n_restarts: int, seed: int) -> dict[str, float]:
    """Where the posterior is highest, by L-BFGS from the median of the priors and draws from them.

    Raises:
        InvalidValue: no start has a finite posterior.
    """
    found = fits(problem, "lbfgs", [{}, *draws(space, n_restarts - 1, seed)], seed=seed)
    values = np.array([fit.metric["log_posterior"] for fit in found])
    if not np.isfinite(values).any():
        raise InvalidValue("no start has a finite posterior", hint=found[0].message or found[0].outcome)
    best = found[int(np.nanargmax(values))]
    return {name: best.theta[name] for name in space.free_names}


def _method(method: str | Optimizer) -> str:
    text = (method.method if isinstance(method, Optimizer) else method).lower().replace("_", "-")
    name = _SPELLINGS.get(text.replace("-", ""), text)
    if name not in _METHODS:
        raise UnknownName(f"unknown method `{method}`", hint=nearest(name, _METHODS))
    return name
