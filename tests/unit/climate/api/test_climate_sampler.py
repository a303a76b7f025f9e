"""The sampler of the document: starts, thinning, progress, a file to go on from."""

import numpy as np
import pytest

from campaign.science import ChainStorage, DataFileError, InvalidValue
from campaign_climate import (
    Bound,
    EnsembleSampler,
    GaussianLikelihood,
    ModelRunner,
    Normal,
    ParameterSet,
    Target,
    WalkerInit,
)

X = np.arange(5.0)
Y = np.array([-0.47, 0.95, 2.51, 4.06, 5.46])


def straight(params):
    return {"y": (X, params["slope"] * X + params["offset"])}


def sampler(sigma=0.1, **options):
    parameters = ParameterSet({"slope": Normal(0.0, 2.0), "offset": Normal(0.0, 2.0)})
    target = Target().add_variable("y", X, Y, sigma)
    return EnsembleSampler(parameters, target, ModelRunner(straight, ["y"]), GaussianLikelihood(), **options)


def test_thinning_changes_nothing_that_is_sampled():
    whole = sampler(seed=3).run(WalkerInit(), 103)
    thinned = sampler(seed=3).run(WalkerInit(), 103, thin=10)
    assert thinned.steps == 103
    np.testing.assert_array_equal(thinned.samples, whole.samples[9:100:10])
    np.testing.assert_array_equal(thinned.log_probs, whole.log_probs[9:100:10])


def test_explicit_starts_are_where_the_walkers_are():
    own = sampler(n_walkers=8)
    positions = np.random.default_rng(1).normal([1.5, -0.5], 0.05, (8, 2))
    chain = own.run(own.initialize("explicit", positions=positions), 1)
    still = (chain.samples[0] == positions).all(axis=1)
    moved = ~still
    assert moved.any()
    assert np.abs(chain.samples[0] - positions)[moved].max() < 1.0
    assert own.run(own.initialize("explicit", positions=positions), 40).acceptance_fraction().shape == (8,)


def test_a_start_from_the_map_is_the_laplace_approximation():
    own = sampler(n_walkers=512)
    state = own.initialize("map")
    A = np.column_stack([X, np.ones(5)])
    covariance = np.linalg.inv(A.T @ A / 0.01 + np.eye(2) / 4.0)
    mean = covariance @ A.T @ Y / 0.01
    assert list(state.center.values()) == pytest.approx(mean, abs=1e-6)
    first = np.asarray(own.run(state, 1).samples[0])
    assert np.all(np.abs(first.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(covariance) / 512))
    np.testing.assert_allclose(np.cov(first.T), covariance, rtol=0.3)


def test_a_chain_goes_on_from_its_file_as_one_long_run(tmp_path):
    path = tmp_path / "chain_checkpoint.bin"
    whole = sampler(seed=2).run(WalkerInit(), 90, thin=3)
    short = sampler(seed=2).run(WalkerInit(), 60, thin=3, checkpoint_every=21, checkpoint_path=path)
    assert len(short) == 20
    longer = sampler(seed=2).resume(path, n_steps=30)
    assert (longer.thin, longer.steps, len(longer)) == (3, 90, 30)
    np.testing.assert_array_equal(longer.samples, whole.samples)
    np.testing.assert_array_equal(longer.log_probs, whole.log_probs)
    np.testing.assert_array_equal(longer.acceptance_fraction(), whole.acceptance_fraction())
    assert longer.failures == whole.failures
    np.testing.assert_array_equal(ChainStorage(path).load().samples, whole.samples)


def test_progress_is_told_and_what_it_raises_keeps_the_chain(tmp_path):
    seen = []
    whole = sampler(seed=5).run_with_progress(WalkerInit(), 1000, seen.append)
    assert [one.iteration for one in seen] == list(range(10, 1001, 10))
    assert {one.total_iterations for one in seen} == {1000}
    assert seen[-1].acceptance_rate == pytest.approx(whole.mean_acceptance_rate(), rel=1e-12)
    assert seen[-1].mean_log_prob == pytest.approx(np.mean(whole.log_probs[-1]), rel=1e-12)
    path = tmp_path / "chain.bin"

    def enough(info):
        if info.iteration == 400:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        sampler(seed=5).run(WalkerInit(), 1000, progress=enough, checkpoint_path=path)
    assert len(ChainStorage(path).load()) == 400
    longer = sampler(seed=5).resume(path, 600)
    np.testing.assert_array_equal(longer.samples, whole.samples)


def test_a_chain_of_something_else_is_refused(tmp_path):
    path = tmp_path / "chain.bin"
    sampler().run(WalkerInit(), 20, checkpoint_path=path)
    with pytest.raises(InvalidValue, match="ln posterior"):
        sampler(sigma=0.2).resume(path, 10)
    with pytest.raises(InvalidValue, match="another number of walkers"):
        sampler(n_walkers=40).resume(path, 10)
    other = ParameterSet({"slope": Normal(0.0, 2.0), "shift": Normal(0.0, 2.0)})
    target = Target().add_variable("y", X, Y, 0.1)
    runner = ModelRunner(lambda p: {"y": (X, p["slope"] * X + p["shift"])}, ["y"])
    with pytest.raises(InvalidValue, match="has the parameters slope, offset"):
        EnsembleSampler(other, target, runner, GaussianLikelihood()).resume(path, 10)
    (tmp_path / "chain.bin.state").unlink()
    with pytest.raises(DataFileError, match="state of the sampler"):
        sampler().resume(path, 10)
    with pytest.raises(DataFileError, match="no file"):
        sampler().resume(tmp_path / "none.bin", 10)
    assert len(ChainStorage(path).load()) == 20


def test_a_chain_of_other_priors_options_or_seed_is_refused_although_its_densities_are_the_same(tmp_path):
    path = tmp_path / "chain.bin"
    sampler(seed=2).run(WalkerInit(), 20, checkpoint_path=path)
    about = ChainStorage(path).about()
    assert about["seed"] == 2
    assert len(about["hash"]) == 64
    wide = ParameterSet({"slope": Bound(Normal(0.0, 2.0), lower=-1e3), "offset": Normal(0.0, 2.0)})
    target = Target().add_variable("y", X, Y, 0.1)
    other = EnsembleSampler(wide, target, ModelRunner(straight, ["y"]), GaussianLikelihood(), seed=2)
    with pytest.raises(InvalidValue, match="begun with parameter `slope`"):
        other.resume(path, 10)
    with pytest.raises(InvalidValue, match=r"begun with option `a` = 2\.0, not 3\.0"):
        sampler(seed=2, stretch_scale=3.0).resume(path, 10)
    with pytest.raises(InvalidValue, match="begun with seed = 2, not 3"):
        sampler(seed=3).resume(path, 10)
    assert len(sampler(seed=2).resume(path, 10)) == 30


def test_a_bar_is_drawn_on_stderr(capsys):
    sampler().run(WalkerInit(), 20, progress=True)
    assert "20/20" in capsys.readouterr().err
