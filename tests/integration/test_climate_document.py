"""The Python example of the design document, as it is written there: only the import path and the reference period of
ocean heat differ. Observations are the model's own, so the answer is known."""

import os
import subprocess
import sys
from pathlib import Path

DATA = """
import numpy as np, pandas as pd, scmdata
from campaign_climate import TwoLayerComponent, ModelBuilder

truth = ModelBuilder().with_component(TwoLayerComponent(climate_sensitivity=2.8, ocean_heat_uptake=0.9)).build()
series = {name: np.asarray(values)[100:271] for name, values in truth.series().items()}
times = np.arange(1850.0, 2021.0)
rng = np.random.default_rng(7)
values = (series["Surface Temperature"] + 1.0) * (1.0 + 0.05 * rng.normal(size=171))
heat = (series["Ocean Heat Content"] + 500.0) * (1.0 + 0.05 * rng.normal(size=171))
uncertainties = np.full(171, 0.05)
df = pd.DataFrame({"year": times, "gmst": values, "ocean_heat": heat, "uncertainty": uncertainties})
obs_run = scmdata.ScmRun(
    np.column_stack([values, heat]),
    index=times.astype(int),
    columns={"variable": ["Surface Temperature", "Ocean Heat Content"], "unit": ["K", "ZJ"], "region": "World",
             "model": "m", "scenario": "s"},
)
"""

EXAMPLE = """
from campaign_climate import (
    ParameterSet, Uniform, Normal, Bound, LogNormal,
    Target, GaussianLikelihood,
    EnsembleSampler, PointEstimator, ModelRunner,
    Model, ModelBuilder, TwoLayerComponent,
)

# === Parameter Definition ===

# Option A: Dict-based construction (recommended for most cases)
params = ParameterSet({
    "climate_sensitivity": Bound(Normal(3.0, 0.5), lower=1.5, upper=6.0),
    "ocean_heat_uptake": Uniform(0.5, 2.0),
    "aerosol_forcing": Normal(-1.0, 0.5),
})

# Option B: Fluent builder (for dynamic construction)
params = (ParameterSet()
    .add("climate_sensitivity", Bound(Normal(3.0, 0.5), lower=1.5, upper=6.0))
    .add("ocean_heat_uptake", Uniform(0.5, 2.0)))

# === Target Definition ===

# From arrays
target = (Target()
    .add_variable("Surface Temperature", times, values, uncertainties)
    .with_reference_period(1850, 1900))

# From pandas DataFrame
target = Target.from_dataframe(
    df,
    time_col="year",
    variables={"Temperature": "gmst", "OHC": "ocean_heat"},
    uncertainty_col="uncertainty",  # Or use relative_error=0.05
    reference_period=(1850, 1900),
)

# From scmdata (for compatibility with existing workflows)
target = Target.from_scmdata(
    obs_run, reference_period={"Surface Temperature": (1850, 1900), "Ocean Heat Content": (1995, 2014)}
)

# === Model Runner ===

# Define how parameters map to model construction
def make_model(params: dict[str, float]) -> Model:
    return (ModelBuilder()
        .with_component(TwoLayerComponent(
            climate_sensitivity=params["climate_sensitivity"],
            ocean_heat_uptake=params["ocean_heat_uptake"],
        ))
        .build())

runner = ModelRunner(
    model_factory=make_model,
    output_variables=["Surface Temperature", "Ocean Heat Content"],
)

# === Point Estimation ===

estimator = PointEstimator(params, target, runner, GaussianLikelihood(relative_error=0.05))
result = estimator.optimize(method="L-BFGS", n_restarts=10)
print(f"Best fit: {result.best_params}")
print(f"Log-likelihood: {result.best_likelihood}")

# === MCMC Sampling ===

sampler = EnsembleSampler(
    parameters=params,
    target=target,
    runner=runner,
    likelihood=GaussianLikelihood(relative_error=0.05),
    # n_walkers defaults to max(2 * n_params, 32)
)

# Initialize and run with progress bar
state = sampler.initialize(method="prior")
chain = sampler.run(
    state,
    n_steps=10_000,
    thin=100,
    progress=True,  # Shows tqdm progress bar
    checkpoint_every=1000,
    checkpoint_path="chain_checkpoint.bin",
)
assert chain.flat_samples(discard=1000).shape == (90 * 32, 2)

# Resume from checkpoint if interrupted
chain = sampler.resume("chain_checkpoint.bin", n_steps=5000)

# === Diagnostics (methods on Chain) ===

print(f"R-hat: {chain.r_hat(discard=1000)}")
print(f"ESS: {chain.ess(discard=1000)}")
print(f"Acceptance rate: {chain.mean_acceptance_rate():.2%}")
print(f"Converged: {chain.is_converged(discard=1000)}")

# === Data Export ===

# Flat numpy array
samples = chain.flat_samples(discard=1000)  # (n_samples, n_params)

# Pandas DataFrame with parameter names as columns
df = chain.to_dataframe(discard=1000)
print(df.describe())

# === Visualization (via plot namespace) ===

chain.plot.trace(discard=1000)           # Trace plots for all parameters
chain.plot.corner(discard=1000)          # Corner plot (requires corner library)
chain.plot.autocorr()                    # Autocorrelation plots
chain.plot.acceptance()                  # Acceptance rate over time

# Posterior predictive check
figure = chain.plot.posterior_predictive(
    runner,
    target,
    n_samples=100,
    discard=1000,
)
"""

CHECKS = """
assert samples.shape == (140 * 32, 2) and len(chain) == 150 and chain.steps == 15_000
assert list(df.columns) == ["climate_sensitivity", "ocean_heat_uptake"]
assert bool(chain.is_converged(discard=1000)), chain.is_converged(discard=1000)
assert len(figure.axes) == 2
best = np.array([*result.best_params.values()])
assert result.converged and len(result.restarts) == 10
error = np.sqrt(np.diag(result.covariance))
assert np.all(np.abs(best - [2.8, 0.9]) < 4 * error), (best, error)
assert np.all(np.abs(samples.mean(axis=0) - best) < error)
"""


def test_the_example_of_the_document(tmp_path):
    script = tmp_path / "calibrate.py"
    script.write_text(DATA + EXAMPLE + CHECKS, encoding="utf-8")
    environment = {**os.environ, "MPLBACKEND": "agg", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stderr
    for wanted in ("Best fit: {", "Log-likelihood: ", "R-hat: {", "ESS: {", "Acceptance rate: ", "Converged: yes"):
        assert wanted in done.stdout
    assert "10000/10000" in done.stderr
    assert {path.name for path in Path(tmp_path).iterdir()} >= {"chain_checkpoint.bin", "chain_checkpoint.bin.state"}
