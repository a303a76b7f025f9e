"""What `campaign report` draws of a fit to two-time maps. No JAX before it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.science import Panel, RunSource

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

OURS = "problem.name=xpcs"


def draw_rates(run: RunSource, figure: FigureBase) -> None:
    """D(t) and the shear rate at the estimate, beside the truth of simulated maps."""
    from campaign_xpcs import figures

    problem, theta = _fitted(run)
    known = {name: np.asarray(value) for name, value in problem.rates(theta).items()}
    truth = _truth(run, problem, theta)
    rates = {name: (value, np.zeros_like(value)) for name, value in known.items()}
    other = None if truth is None else {name: np.asarray(v) for name, v in problem.rates(truth).items()}
    figures.draw_rates(figure, np.asarray(problem.times), rates, other)


def draw_maps(run: RunSource, figure: FigureBase) -> None:
    """Data, fit and residual of the first angle."""
    from campaign_xpcs import figures
    from campaign_xpcs.physics import pairs

    problem, theta = _fitted(run)
    n = problem.times.shape[-1]
    weight = np.broadcast_to(np.asarray(problem.weight), problem.data.shape)[0]
    data, model = np.asarray(problem.data)[0], np.asarray(problem.maps(theta))[0]
    mask = pairs.full((weight > 0).astype(float), n, 0.0) > 0
    c2 = pairs.full(data, n)
    residual = np.where(mask, (c2 - model) * pairs.full(weight, n, 0.0), np.nan)
    title = f"φ = {float(problem.phi_deg[0]):g}°"
    figures.draw_maps(figure, np.asarray(problem.times), c2, model, residual, mask, title)


def _fitted(run: RunSource) -> tuple[Any, Any]:
    """The problem of a run, of all of its points, and theta."""
    import jax.numpy as jnp

    from campaign_xpcs.model.building import build
    from campaign_xpcs.model.options import XpcsOptions

    given = {name: value for name, value in run.options("problem").items() if name in XpcsOptions.model_fields}
    plain = {"marginal": False, "n_shards": 1, "shard": 0, "init": "explicit"}
    problem = build(XpcsOptions.model_validate(given | plain, strict=False))
    initial = dict(zip(problem.space.names, np.asarray(problem.space.initial).tolist(), strict=True))
    found = {name: run.row.get(f"theta.{name}", np.nan) for name in problem.space.names}
    values = [float(v) if np.isfinite(v := found[name]) else initial[name] for name in problem.space.names]
    return problem, jnp.asarray(values)


def _truth(run: RunSource, problem: Any, theta: Any) -> Any:
    """Theta with the true physics; None where nobody knows it."""
    import jax.numpy as jnp

    known = {name: float(run.row.get(f"truth.{name}", np.nan)) for name in problem.space.names}
    physics = problem.space.names[problem.n_linear :]
    if not all(np.isfinite(known[name]) for name in physics):
        return None
    return theta.at[problem.n_linear :].set(jnp.asarray([known[name] for name in physics]))


PANELS = (
    Panel(
        name="xpcs-rates",
        title="D(t) and shear rate",
        of="run",
        needs=(OURS, "theta.D0"),
        draw=draw_rates,
        size=(9.2, 3.4),
    ),
    Panel(
        name="xpcs-maps",
        title="A map and its model",
        of="run",
        needs=(OURS, "theta.D0"),
        draw=draw_maps,
        size=(11.0, 4.0),
    ),
)
