"""How strongly each choice of data prefers one model to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from campaign_cosmology.figures.style import COLOURS, MARKERS, legend_above, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from campaign.science import Evidence


def bayes_factors(choices: Mapping[str, Mapping[str, Evidence]], reference: str) -> Figure:
    """ln B = ln Z − ln Z(reference) of each model for each choice of data, with the error of the difference.

    To the right of 0 the data prefer the model to the reference. Lines at ±1, ±2.5 and ±5 are the steps of the scale of
    Jeffreys as Trotta (2008, Contemp. Phys. 49, 71) gives it: inconclusive, weak, moderate, strong.

    Args:
        choices: choice of data → (model → its evidence for the same data). What has no evidence is left out.
        reference: name of the model that all are compared with.
    """
    figure, axes = panels(1, 1, width=6.8, height=1.1 + 0.36 * len(choices))
    axis = axes.flat[0]
    models = [m for m in dict.fromkeys(model for choice in choices.values() for model in choice) if m != reference]
    for step in (-5.0, -2.5, -1.0, 1.0, 2.5, 5.0):
        axis.axvline(step, color="0.88", lw=0.8, zorder=0)
    axis.axvline(0.0, color="0.5", lw=1.0, zorder=0)
    for k, model in enumerate(models):
        shift = 0.18 * (k - 0.5 * (len(models) - 1))
        found = [
            (row + shift, choice[model], choice[reference])
            for row, choice in enumerate(choices.values())
            if _known(choice, model) and _known(choice, reference)
        ]
        axis.errorbar(
            [(one.log_evidence or 0.0) - (other.log_evidence or 0.0) for _, one, other in found],
            [y for y, _, _ in found],
            xerr=[((one.stderr or 0.0) ** 2 + (other.stderr or 0.0) ** 2) ** 0.5 for _, one, other in found],
            fmt=MARKERS[k],
            color=COLOURS[k],
            ms=5,
            capsize=2,
            lw=1.4,
            label=model,
        )
    axis.set(yticks=range(len(choices)), yticklabels=list(choices), xlabel=f"ln B against {reference}")
    axis.invert_yaxis()
    axis.set_axisbelow(True)
    legend_above(figure, axis)
    return figure


def _known(choice: Mapping[str, Evidence], model: str) -> bool:
    return model in choice and choice[model].log_evidence is not None
