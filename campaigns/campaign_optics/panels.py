"""What `campaign report` draws of a fit to a binary star. No JAX before it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from campaign.science import Panel, RunSource

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

OURS = "problem.name=binary-frame"
_TRUTH = "truth."


def draw_errors(run: RunSource, figure: FigureBase) -> None:
    """Errors of position, plate scale, fluxes and wavefront over the steps of a fit."""
    from campaign_optics.figures import draw_panels, signals

    names = [p.name for p in run.program.free]
    truth = {name.removeprefix(_TRUTH): float(value) for name, value in run.row.items() if name.startswith(_TRUTH)}
    draw_panels(signals(names, np.asarray(run.trace["theta"], np.float64), truth), run.steps, figure)


def draw_image(run: RunSource, figure: FigureBase) -> None:
    """The simulated image, the model at the estimate, and what is left."""
    import jax.numpy as jnp

    from campaign_optics.figures import triptych
    from campaign_optics.model.options import BinaryFrameOptions
    from campaign_optics.model.problem import build

    known = BinaryFrameOptions.model_fields
    own = {name: value for name, value in run.options("problem").items() if name in known}
    problem = build(BinaryFrameOptions.model_validate(own, strict=False))
    theta = jnp.asarray([float(run.row[f"theta.{name}"]) for name in problem.space.names])
    triptych(figure, *(np.asarray(a) for a in (problem.electrons, problem.model.predict(theta), problem.weight)))


PANELS = (
    Panel(
        name="binary-errors",
        title="Errors over steps",
        of="run",
        needs=(OURS, "trace.theta[step,parameter]", f"{_TRUTH}*"),
        draw=draw_errors,
        size=(10.2, 5.2),
    ),
    Panel(
        name="binary-image",
        title="The image and its model",
        of="run",
        needs=(OURS, f"{_TRUTH}*", "theta.binary.separation_as"),
        draw=draw_image,
        size=(10.2, 3.2),
    ),
)
