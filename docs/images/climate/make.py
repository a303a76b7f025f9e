"""The picture of docs/climate.md: calibrate five parameters, run 600 draws under three scenarios, and draw.

python docs/images/climate/make.py [--steps N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from campaign_climate import (
    Bound,
    EnsembleSampler,
    GaussianLikelihood,
    ModelBuilder,
    ModelRunner,
    Normal,
    ParameterSet,
    Target,
    TwoLayerComponent,
    bands,
)

HERE = Path(__file__).resolve().parent
VARIABLES = ["Surface Temperature", "Ocean Heat Content"]
SCENARIOS = {"ssp119": "SSP1-1.9", "ssp245": "SSP2-4.5", "ssp585": "SSP5-8.5"}
PRIORS = {
    "lambda0": Bound(Normal(1.2, 0.5), 0.3, 3.0),
    "efficacy": Bound(Normal(1.3, 0.3), 0.5, 2.5),
    "eta": Bound(Normal(0.7, 0.2), 0.2, 1.6),
    "heat_capacity_surface": Bound(Normal(8.0, 2.0), 2.0, 20.0),
    "heat_capacity_deep": Bound(Normal(110.0, 40.0), 20.0, 400.0),
}


def runner(scenario: str) -> ModelRunner:
    def make_model(params):
        return ModelBuilder().with_component(TwoLayerComponent(**params)).with_forcing(scenario).build()

    return ModelRunner(make_model, VARIABLES, tuple(PRIORS))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5000)
    steps = parser.parse_args().steps
    target = Target().add_observed("gmst:hadcrut5", extra_sigma=0.1).add_observed("ohc:igcc2024")
    periods = {"Surface Temperature": (1850.0, 1900.0), "Ocean Heat Content": (1995.0, 2014.0)}
    target.with_reference_period(periods)
    sampler = EnsembleSampler(ParameterSet(PRIORS), target, runner("igcc2024"), GaussianLikelihood(), n_walkers=64)
    samples = sampler.run(sampler.initialize("prior"), n_steps=steps, thin=5).flat_samples(discard=steps // 4)
    draws = samples[np.linspace(0, len(samples) - 1, 600).astype(int)]
    print(dict(zip(PRIORS, samples.mean(axis=0).round(3).tolist(), strict=True)))
    panels: dict[str, dict] = {name: {} for name in VARIABLES}
    for scenario, label in SCENARIOS.items():
        batch = runner(scenario).run_batch(draws)
        for name in VARIABLES:
            times, values = batch.times[name], batch.values[name]
            inside = (times >= periods[name][0]) & (times <= periods[name][1])
            until = times <= 2100
            anomalies = values - values[:, inside].mean(axis=1, keepdims=True)
            panels[name][label] = (times[until], anomalies[:, until])
    figure = bands(panels, {name: target[name] for name in VARIABLES})
    figure.savefig(HERE / "projections.png")


if __name__ == "__main__":
    main()
