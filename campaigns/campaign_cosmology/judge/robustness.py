"""How a fit answers to other data: noise resampled, blocks or whole data sets left out. One compilation for all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from campaign.science import InvalidValue, Parameter
from campaign_cosmology.data.noise import whitened_noise
from campaign_cosmology.judge.identifiability import bounds_reached, curvature
from campaign_cosmology.model.objective import FunctionObjective, ProblemObjective
from campaign_cosmology.model.optimizers import minimize
from campaign_cosmology.model.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """One fit to changed data.

    Attributes:
        label: what was left out, or the number of the noise. n_data: points that remain.
        params: best fit. stderr: its errors; None where the remaining data give none.
        shifts: change from the full fit in units of its error; None where either has none, and for all parameters
            where one runs to a bound: then the rest of the data does not fix them.
        bounds_reached: parameters at a bound → its side, {"Obh2": "upper"}.
    """

    label: str
    n_data: int
    chi2: float
    params: dict[str, float]
    stderr: dict[str, float | None]
    shifts: dict[str, float | None]
    bounds_reached: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """Spread of the best fit over `n` resampled data sets: mean, standard deviation, covariance of the parameters."""

    method: str
    n: int
    names: list[str]
    mean: dict[str, float]
    stderr: dict[str, float]
    covariance: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class _Subset:
    """chi2 of some rows of the data, from the whitened residuals of all: r' = T r.

    T colours the residuals of each block, keeps rows, and whitens them with their own covariance: the marginal
    likelihood of the kept rows. Supernovae lose their offset again.
    """

    objective: ProblemObjective
    matrix: np.ndarray

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.objective.parameters

    def linearised(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, jacobian = self.objective.linearised(x)
        return self.matrix @ r, self.matrix @ jacobian

    def __call__(self, x: np.ndarray) -> float:
        r = self.matrix @ self.objective.residuals(x)
        value = float(r @ r)
        return value if np.isfinite(value) else np.inf

    def gradient(self, x: np.ndarray) -> np.ndarray:
        r, jacobian = self.linearised(x)
        return 2.0 * jacobian.T @ r


def _objective(selection: Selection) -> ProblemObjective:
    if not isinstance(selection.objective, ProblemObjective):
        raise InvalidValue(
            "a registered likelihood has no redshift bins that can be left out one at a time",
            hint="leave out whole data sets, or draw the data again: `leave_one_dataset_out`, `bootstrap`",
        )
    return selection.objective


def _subset(objective: ProblemObjective, keep: np.ndarray) -> _Subset:
    pieces, start = [], 0
    blocks = objective.problem.setup.blocks
    for block in blocks:
        n = len(block.table)
        rows = np.flatnonzero(keep[start : start + n])
        factor = np.linalg.cholesky(block.table.covariance)
        own = np.linalg.cholesky(block.table.covariance[np.ix_(rows, rows)])
        piece = np.linalg.solve(own, factor[rows]) if len(rows) else np.zeros((0, n))
        if block.kind == "sn" and len(rows):
            e = np.linalg.solve(own, np.ones(len(rows)))
            piece = piece - np.outer(e, e @ piece) / (e @ e)
        pieces.append(np.hstack([np.zeros((len(rows), start)), piece, np.zeros((len(rows), len(keep) - start - n))]))
        start += n
    return _Subset(objective, np.vstack(pieces))


def _refit(objective, best: np.ndarray, full: dict[str, float | None], label: str, n_data: int) -> Refit:
    found = minimize(objective, best)
    x = np.asarray(found.x, float)
    report = curvature(objective.parameters, x, objective.linearised(x)[1])
    shifts: dict[str, float | None] = {}
    is_inside = report.bounds_reached.items() <= bounds_reached(objective.parameters, best).items()
    for parameter, now, then in zip(objective.parameters, x, best, strict=True):
        error = full.get(parameter.name)
        known = is_inside and error is not None and report.stderr[parameter.name] is not None
        shifts[parameter.name] = float(now - then) / error if known and error else None
    return Refit(
        label=label,
        n_data=n_data,
        chi2=float(found.fun),
        params={p.name: float(v) for p, v in zip(objective.parameters, x, strict=True)},
        stderr=report.stderr,
        shifts=shifts,
        bounds_reached=report.bounds_reached,
    )


def _best(selection: Selection, best: dict[str, float]) -> tuple[ProblemObjective, np.ndarray, dict[str, float | None]]:
    objective = _objective(selection)
    x = np.array([best[p.name] for p in objective.parameters])
    return objective, x, curvature(objective.parameters, x, objective.linearised(x)[1]).stderr


def _only(selection: Selection) -> InvalidValue:
    return InvalidValue(f"only `{selection.names[0]}` is fitted", hint="leaving it out leaves no data")


def _without_each(selection: Selection, objective: FunctionObjective, best: dict[str, float]) -> list[Refit]:
    """The fit of registered likelihoods without each data set in turn: values, no errors, for chi2 is all there is."""
    if len(objective.parts) < 2:
        raise _only(selection)
    names = [p.name for p in objective.parameters]
    x, found = np.array([best[name] for name in names]), []
    for left_out in objective.parts:
        kept = [part for part in objective.parts if part is not left_out]
        end = minimize(FunctionObjective.of(kept, objective.parameters, x), x)
        found.append(
            Refit(
                label=left_out.name,
                n_data=sum(len(part.data["observations"]) for part in kept),
                chi2=float(end.fun),
                params={name: float(value) for name, value in zip(names, end.x, strict=True)},
                stderr=dict.fromkeys(names),
                shifts=dict.fromkeys(names),
                bounds_reached=bounds_reached(objective.parameters, np.asarray(end.x, float)),
            )
        )
    return found


def leave_one_dataset_out(selection: Selection, best: dict[str, float]) -> list[Refit]:
    """The fit without each data set in turn.

    Raises:
        ValueError (InvalidValue): there is only one.
    """
    if isinstance(selection.objective, FunctionObjective):
        return _without_each(selection, selection.objective, best)
    objective, x, errors = _best(selection, best)
    sizes = [len(block.table) for block in objective.problem.setup.blocks]
    if len(sizes) < 2:
        raise _only(selection)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    out = []
    for name, low, high in zip(selection.names, edges[:-1], edges[1:], strict=True):
        keep = np.ones(edges[-1], bool)
        keep[low:high] = False
        out.append(_refit(_subset(objective, keep), x, errors, name, int(keep.sum())))
    return out


def data_blocks(selection: Selection) -> list[tuple[str, np.ndarray]]:
    """What a jackknife leaves out one at a time: the redshift bins of BAO and supernovae. A CMB prior has no parts:
    it always stays (see `leave_one_dataset_out`)."""
    objective = _objective(selection)
    found, start = [], 0
    total = objective.problem.setup.n_data
    for block in objective.problem.setup.blocks:
        n, z = len(block.table), block.table.z
        for value in np.unique(z) if block.has_redshifts else ():
            label, rows = f"z={value:g}", z == value
            mask = np.zeros(total, bool)
            mask[start : start + n] = rows
            found.append((f"{block.table.name} {label}", mask))
        start += n
    return found


def jackknife_fits(selection: Selection, best: dict[str, float]) -> list[Refit]:
    """The fit without each data block in turn.

    Raises:
        ValueError (InvalidValue): fewer than two blocks.
    """
    objective, x, errors = _best(selection, best)
    blocks = data_blocks(selection)
    if len(blocks) < 2:
        raise InvalidValue(f"{', '.join(selection.names)} has {len(blocks)} blocks", hint="a jackknife needs 2 or more")
    return [_refit(_subset(objective, ~mask), x, errors, label, int((~mask).sum())) for label, mask in blocks]


def jackknife(selection: Selection, best: dict[str, float]) -> tuple[Resampling, list[Refit]]:
    """Delete-one-block jackknife: covariance = (n−1)/n Σ (x_i − x̄)(x_i − x̄)'.

    Blocks differ in weight, so it is a check of influence rather than an error estimate.
    """
    fits = jackknife_fits(selection, best)
    names = list(selection.free)
    samples = np.array([[fit.params[name] for name in names] for fit in fits])
    n = len(samples)
    d = samples - samples.mean(axis=0)
    return _resampling("jackknife", names, samples, (n - 1) / n * d.T @ d), fits


def checked_samples(n: int) -> int:
    """A number of bootstrap samples.

    Raises:
        ValueError (InvalidValue): fewer than two.
    """
    if n < 2:
        raise InvalidValue(f"the number of bootstrap samples is {n}", hint="2 or more")
    return n


def bootstrap(selection: Selection, best: dict[str, float], n: int) -> Resampling:
    """Parametric bootstrap: data plus noise of their covariance, n times; noise b is that of the option ``bootstrap``.

    Raises:
        ValueError (InvalidValue): n < 2, or a registered likelihood that does not say how its data are drawn.
    """
    checked_samples(n)
    if isinstance(selection.objective, FunctionObjective):
        return _drawn_again(selection.objective, best, n)
    objective, x, _ = _best(selection, best)
    problem = objective.problem
    samples = []
    for b in range(1, n + 1):
        noise = np.concatenate([whitened_noise(k.table.name, len(k.table), b) for k in problem.setup.blocks])
        samples.append(minimize(objective.with_problem(replace(problem, noise=jnp.asarray(noise))), x).x)
    array = np.array(samples)
    return _resampling("bootstrap", [p.name for p in objective.parameters], array, np.cov(array.T, ddof=1))


def _drawn_again(objective: FunctionObjective, best: dict[str, float], n: int) -> Resampling:
    """The bootstrap of registered likelihoods that say how their data are drawn."""
    for part in objective.parts:
        if part.resample is None:
            raise InvalidValue(
                f"the likelihood of `{part.name}` does not say how its data are drawn again: there is no bootstrap",
                hint="likelihood.resample = gaussian_resample, or your own: (data, b) → data with noise number b",
            )
    names = [p.name for p in objective.parameters]
    x, samples = np.array([best[name] for name in names]), []
    for b in range(1, n + 1):
        parts = [replace(p, data=p.resample(p.data, b)) for p in objective.parts if p.resample is not None]
        samples.append(minimize(FunctionObjective.of(parts, objective.parameters, x), x).x)
    array = np.array(samples)
    return _resampling("bootstrap", names, array, np.cov(array.T, ddof=1))


def _resampling(method: str, names: list[str], samples: np.ndarray, covariance: np.ndarray) -> Resampling:
    covariance = np.atleast_2d(covariance)
    return Resampling(
        method=method,
        n=len(samples),
        names=names,
        mean=dict(zip(names, samples.mean(axis=0).tolist(), strict=True)),
        stderr=dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True)),
        covariance=covariance,
        samples=samples,
    )
