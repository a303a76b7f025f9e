"""The pictures of docs/optics.md: fit one image of the testbed, and draw its steps and what is left.

python docs/images/optics/make.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import campaign
from campaign_optics import BINARY_FRAME
from campaign_optics.figures import draw_panels, signals, triptych
from campaign_optics.model.problem import build

HERE = Path(__file__).resolve().parent
MANIFEST = HERE.parents[2] / "manifests" / "optics" / "noise.json"


def main() -> None:
    own = {k: v for k, v in json.loads(MANIFEST.read_text())["stages"][0]["problem"].items() if k != "name"}
    problem = build(BINARY_FRAME.options(**own, seed=1, init_seed=1))
    fit = campaign.fit(problem, "trf")
    names = problem.space.names
    truth = dict(zip(names, np.asarray(problem.true_theta).tolist(), strict=True))
    theta = np.asarray(fit.trace["theta"])
    steps = Figure(figsize=(10.2, 5.2), layout="constrained", dpi=120)
    draw_panels(signals(names, theta, truth), np.arange(len(theta)), steps)
    image = Figure(figsize=(10.2, 3.2), layout="constrained", dpi=120)
    model = problem.model.predict(np.array([fit.theta[name] for name in names]))
    triptych(image, *(np.asarray(array) for array in (problem.electrons, model, problem.weight)))
    for figure, name in ((steps, "steps.png"), (image, "image.png")):
        FigureCanvasAgg(figure)
        figure.savefig(HERE / name)


if __name__ == "__main__":
    main()
