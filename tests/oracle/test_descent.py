"""Descent engines against closed forms, numpy and optax. C-… and A-… are rows of the specification of issue 10.

Nothing here is bigger than a quadratic; the fitted image itself is in test_descent_optics.py.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import campaign
from campaign.engines import diagonal
from campaign.engines.base import Outcome
from campaign.engines.curvature import curvature
from campaign.engines.diagonal import diagonal_of, hessian_product
from campaign.engines.rates import Guards, Rule, rates
from campaign.errors import CampaignError, InvalidValue
from campaign.problem.reference import decay
from campaign.problem.reference.catalogue import DecayOptions
from campaign.space import Parameter, ThetaSpace
from campaign.space.modes import Modes
from campaign.space.priors import Prior
from campaign.testing.engine import target_of
from descending import (
    GOLDEN,
    Bowl,
    first_below,
    gd,
    optax_engine,
    pgd,
    quadratic,
    separate,
    space_of,
    steps_until,
    surrogate,
    traced,
)  # fmt: skip
from driving import at_start
from programs import compiled, ended

EXACT = {"scale": "none", "floor_rel": 0.0, "eps": 0.0, "momentum": 0.0}


def free(d):
    """No block says anything."""
    return Guards(np.ones(d), np.zeros(d), np.full(d, np.inf))


@pytest.fixture(scope="module")
def wide():
    """Curvatures from 1 to 1e8, started where every one of them costs the same."""
    curvature = np.logspace(0, 8, 20)
    return curvature, separate(np.sqrt(curvature), curvature**-0.5)


def test_power_one_needs_one_step_and_power_one_half_28784(wide):
    """C-01, counts in closed form for the best constant rate: ln 1e-6 / 2 ln((κ−1)/(κ+1)), κ = 1 and 1e4."""
    _, target = wide
    assert steps_until(pgd(base_lr=1.0, **EXACT), target, 1e-6, 10) == 1
    half = pgd(power=0.5, base_lr=2.0 / (1.0 + 1e4), **EXACT)
    assert steps_until(half, target, 1e-6, 40_000) == pytest.approx(28_784, abs=1)


def test_power_one_with_curvature_off_by_up_to_two(wide):
    """C-01: eigenvalues between ½ and 2 after preconditioning, so at most 14 steps; 11 for the factors of the table."""
    curvature, target = wide
    off = 2.0 ** np.random.default_rng(0).uniform(-1, 1, 20)
    user = dict(zip(target.space.names, (curvature * off).tolist(), strict=True))
    engine = pgd(curvature="user", user_curvature=user, base_lr=2.0 / (1 / off.max() + 1 / off.min()), **EXACT)
    assert 8 <= steps_until(engine, target, 1e-6, 100) <= 14


@pytest.mark.long
def test_one_rate_does_not_get_there(wide):
    """C-01: 287,823,137 steps in closed form; a million leave the loss where theory says."""
    curvature, target = wide
    rate = 2.0 / (1.0 + 1e8)
    state, _ = compiled(
        lambda e, t: jax.lax.fori_loop(
            0, 1_000_000, lambda _, s: (e.step(t, s[0])[0], s[1] + 1), (e.init(t, jax.random.key(0)), 0)
        )
    )(gd(base_lr=rate), target)
    left = np.sum((1.0 - rate * curvature) ** (2 * 999_999.0)) / 20
    loss = 0.5 * float(np.sum(curvature * np.asarray(state.u) ** 2)) / 10.0
    assert loss == pytest.approx(left, rel=1e-6)
    assert loss > 1e-2


@pytest.mark.parametrize(
    ("options", "is_covariant"),
    [({"power": 1.0}, True), ({"power": 0.5, "scale": "scale"}, True), ({"power": 0.5}, False)],
)
def test_units_do_not_matter(options, is_covariant):
    """C-02: one coordinate in nm or in m; power ½ without scales depends on it."""
    fisher = np.array([[4.0, 1.0], [1.0, 2.0]])
    traces = []
    for unit in (1.0, 1e9):
        size = np.array([1.0, unit])
        target = quadratic(fisher / np.outer(size, size), np.zeros(2), np.array([3.0, -2.0]) * size, size)
        traces.append(traced(pgd(**{**EXACT, "base_lr": 0.3} | options), target, 20)[1]["loss"])
    if is_covariant:
        np.testing.assert_allclose(traces[0], traces[1], rtol=1e-8)
    else:
        assert np.max(np.abs(traces[0] / traces[1] - 1.0)) > 0.1


def test_the_gauss_newton_diagonal():
    """C-03: diag JᵀJ of an exponential decay; of a linear model also the diagonal of the Hessian."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    u = target.start()
    jacobian = np.asarray(jax.jacfwd(target.residuals)(u))
    seen = diagonal_of(target, u, "gn_diag", "likelihood", scale=jnp.ones_like(u))
    np.testing.assert_allclose(seen.value, np.sum(jacobian**2, axis=0), rtol=1e-12)
    linear = surrogate()
    seen, hessian = (
        diagonal_of(linear, linear.start(), source, "likelihood", scale=linear.scale).value
        for source in ("gn_diag", "hessian_diag")
    )
    np.testing.assert_allclose(seen, hessian, rtol=1e-10)


def test_the_diagonal_of_the_hessian():
    """C-04: e_j·H e_j of a decay with noise, at most by rounding; with few coordinates Hutchinson's is the same."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    u = target.start()
    dense = np.asarray(jax.hessian(lambda v: -target.log_likelihood(v))(u))
    both = [
        np.asarray(diagonal_of(target, u, source, "likelihood", scale=target.scale).value)
        for source in ("hessian_diag", "hutchinson_hessian_diag")
    ]
    np.testing.assert_allclose(both[0], np.diag(dense), rtol=1e-11)
    np.testing.assert_array_equal(both[0], both[1])


def test_scales_are_those_of_the_parameters_of_priors_or_of_the_curvature():
    priors = {"x0": Prior("normal", (0.0, 3.0)), "x1": Prior("uniform", (-5.0, 5.0))}
    parameters = tuple(Parameter(name=n, initial=1.0, scale=0.5, prior=prior) for n, prior in priors.items())
    own = separate([2.0, 4.0], np.ones(2)).problem
    target = at_start(dataclasses.replace(own, space=ThetaSpace(parameters)))
    for kind, expected in (("scale", [0.5, 0.5]), ("prior", [3.0, 0.5]), ("none", [1.0, 1.0]), ("gn", [0.5, 0.25])):
        found = traced(pgd(scale=kind, objective="likelihood"), target, 1)[2].arrays
        np.testing.assert_allclose(found["scale"], expected, rtol=1e-14)
        np.testing.assert_allclose(found["precond"], [0.25, 0.0625], rtol=1e-14)


def test_no_step_is_longer_than_its_limit():
    """The guard |Δθ| ≤ max_step·s; the rest of the way is as long as without."""
    target = separate([1.0, 1.0], [10.0, 0.25], scale=[2.0, 1.0])
    theta = traced(gd(base_lr=1.0, max_step=0.5), target, 12)[1]["theta"]
    np.testing.assert_allclose(np.diff(theta[:, 0]), np.r_[-np.ones(10), 0.0], atol=1e-14)
    np.testing.assert_array_equal(theta[1:, 1], 0.0)


@pytest.mark.parametrize(("engine", "options"), [("pgd", {}), ("optax", {"scaling": "gn_diag", "max_steps": 3000})])
def test_the_end_is_that_of_least_squares(engine, options):
    """Within √0.002 standard errors, as 1000 `tol` = 1e-3 of ln L left to gain allow; the errors are those of `trf`."""
    start = {"amplitude": 2.1, "rate": 0.75, "offset": 0.45, "drift": 0.03}
    best = campaign.fit("decay", "trf", start=start)
    fit = campaign.fit("decay", engine, start=start, engine_options=options)
    assert fit.outcome == "converged"
    for name, value in best.theta.items():
        assert fit.theta[name] == pytest.approx(value, abs=0.002**0.5 * best.stderr[name])
        assert fit.stderr[name] == pytest.approx(best.stderr[name], rel=0.01)


def bowl(d, seed=0):
    root = np.random.default_rng(seed).normal(size=(d, d))
    hessian = root @ root.T / d + np.diag(np.arange(1.0, d + 1))
    return hessian, at_start(Bowl(space_of(np.ones(d)), jnp.asarray(hessian)))


@pytest.mark.parametrize("k", [4, 64])
def test_hutchinson_is_as_far_off_as_theory_says(k, monkeypatch):
    """C-04: the variance of entry i is Σ_{j≠i} H_ij²/k; the reported error is that; H v is that of the dense matrix."""
    monkeypatch.setattr(diagonal, "EXACT", 0)
    hessian, target = bowl(80)
    u = target.start()
    v = np.linspace(-1, 1, 80)
    np.testing.assert_allclose(hessian_product(target, u, "likelihood")(jnp.asarray(v)), hessian @ v, rtol=1e-11)

    def seen(seed):
        probes = jax.random.rademacher(jax.random.key(seed), (k, 80), float)  # any seeds will do
        return diagonal_of(target, u, "hutchinson_hessian_diag", "likelihood", scale=u, n_probes=k, seed=seed), probes

    theory = np.sqrt(np.sum(hessian**2, axis=1) - np.diag(hessian) ** 2) / np.sqrt(k)
    off = np.stack([np.asarray(seen(seed)[0].value) - np.diag(hessian) for seed in range(6)]) / theory
    assert np.max(np.abs(off)) < 4.5
    assert np.std(off) == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(np.mean(np.asarray(seen(0)[0].error) / theory), 1.0, atol=0.3 if k == 4 else 0.1)


def test_hutchinson_is_exact_for_a_diagonal_hessian_and_for_few_coordinates(monkeypatch):
    """C-04 and decision 4: up to 256 coordinates unit vectors are the probes, and the summary says so."""
    _, target = bowl(3)
    found = ended(pgd(curvature="hutchinson_hessian_diag", n_probes=2), target).result
    assert (int(found.metrics["exact"]), int(found.metrics["n_probes"])) == (1, 3)
    monkeypatch.setattr(diagonal, "EXACT", 0)
    own = at_start(Bowl(space_of(np.ones(5)), jnp.diag(jnp.arange(1.0, 6.0))))
    scale = jnp.asarray([1.0, 10.0, 0.1, 3.0, 7.0])
    seen = diagonal_of(own, own.start(), "hutchinson_hessian_diag", "likelihood", scale=scale, n_probes=1)
    np.testing.assert_allclose(seen.value, np.arange(1.0, 6.0), rtol=1e-12)


def test_seeds_of_probes(monkeypatch):
    """C-09: a seed gives its bits, another one others."""
    monkeypatch.setattr(diagonal, "EXACT", 0)
    _, target = bowl(8)
    rates_of = [
        np.asarray(
            ended(pgd(curvature="hutchinson_hessian_diag", n_probes=4, probe_seed=s), target).result.arrays["lr_vec"]
        )
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(rates_of[0], rates_of[1])
    assert np.all(rates_of[0] != rates_of[2])


def test_floors():
    """C-05: a coordinate without curvature gets a finite rate, and only that one is floored; it is named."""
    found = campaign.fit(separate([1.0, 0.0, 2.0], np.ones(3)).problem, "pgd", engine_options={"max_steps": 60})
    assert found.arrays["floored"].tolist() == [0, 1, 0]
    assert np.isfinite(found.arrays["lr_vec"]).all()
    assert found.metric["n_floored"] == 1
    assert "`x1`" in (found.message or "")


def test_clips_and_their_masks():
    """C-06, C-17: rates and preconditioners stay in their bounds, of everything and of each block."""
    curvature, scale = np.array([1.0, 4.0, 100.0, 1e4]), np.array([1.0, 2.0, 1.0, 1.0])
    guards = Guards(np.ones(4), np.array([0.0, 0.0, 0.02, 0.02]), np.array([0.5, 0.5, 1.0, 1.0]))
    own = rates(curvature, scale, 1.0, guards, Rule(), xp=np)
    np.testing.assert_allclose(own.lr_vec, [0.5, 0.5, 0.02, 0.02])
    assert own.clipped.tolist() == [True, True, True, True]
    own = rates(curvature, scale, 3.0, guards, Rule(clip_of="precond"), xp=np)
    np.testing.assert_allclose(own.lr_vec, 3.0 * np.array([0.5, 0.5, 0.02, 0.02]))
    own = rates(curvature, scale, 1.0, guards, Rule(is_relative=True), xp=np)
    np.testing.assert_allclose(own.lr_vec, [0.5, 1.0, 0.02, 0.02])
    assert own.clipped.tolist() == [True, False, True, True]
    target = separate([1.0, 2.0, 4.0], np.ones(3))
    blocks = {"blocks": {"a": ["x0", 2]}, "clip": {"a": [0.0, 0.05], "other": [0.1, 0.2]}}
    found = traced(pgd(base_lr=1.0, scale="none", **blocks), target, 1)[2]
    np.testing.assert_allclose(found.arrays["lr_vec"], [0.05, 0.2, 0.05])
    assert int(found.metrics["n_clipped"]) == found.arrays["clipped"].sum() == 3


def test_a_block_of_scale_zero_does_not_move():
    """C-07, also where the rates are clipped from below."""
    target = separate([1.0, 2.0, 4.0], np.ones(3))
    engine = pgd(blocks={"still": ["x1"]}, block_scale={"still": 0.0}, clip=[0.01, 1.0])
    trace = traced(engine, target, 8)[1]["theta"]
    np.testing.assert_array_equal(trace[:, 1], 1.0)
    assert np.all(trace[-1, [0, 2]] != 1.0)


def test_refreshes_are_recorded_and_smoothed():
    """C-08 and C-16: K = 10, T = 35 gives three; c ← ρ c + (1−ρ) c_new; K = 1 goes by the curvature of each place."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    options = {"curvature": "gn_diag", "scale": "none", "base_lr": 0.05, "momentum": 0.0}
    found = traced(pgd(refresh_every=10, refresh_ema=0.3, **options), target, 35)
    assert found[2].arrays["refresh_steps"][:4].tolist() == [10, 20, 30, -1]

    def own(theta):
        return np.sum(np.asarray(jax.jacfwd(target.residuals)(jnp.asarray(theta))) ** 2, axis=0)

    theta, smooth = found[1]["theta"], own(found[1]["theta"][0])
    for k, at in enumerate((10, 20, 30)):
        smooth = 0.3 * smooth + 0.7 * own(theta[at])
        np.testing.assert_allclose(found[2].arrays["curvature_history"][k], smooth, rtol=1e-12)
    each = traced(pgd(refresh_every=1, refresh_ema=0.0, **options), target, 6)[1]
    np.testing.assert_allclose(each["lr"][4], 0.05 / own(each["theta"][4]), rtol=1e-11)


def test_running_squares_of_the_gradient():
    """C-10: with no memory the curvature is g_t²; with memory it is the corrected average."""
    target = separate([1.0, 2.0], [3.0, -1.0])
    plain = {
        "curvature": "ema_grad2",
        "update": "running",
        "scale": "none",
        "base_lr": 0.1,
        "floor_rel": 0.0,
        "eps": 0.0,
    }
    trace = traced(pgd(beta=0.0, power=1.0, momentum=0.0, **plain), target, 5)[1]
    np.testing.assert_array_equal(trace["lr"], 0.1 * (1.0 / trace["grad"] ** 2))
    trace = traced(pgd(beta=0.9, momentum=0.0, **plain), target, 5)[1]
    average = np.zeros(2)
    for t, slope in enumerate(trace["grad"]):
        average = 0.9 * average + 0.1 * slope**2
        np.testing.assert_allclose(trace["lr"][t], 0.1 / np.sqrt(average / (1 - 0.9 ** (t + 1))), rtol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.75, True)])
def test_one_rate_for_all_is_sgd_bit_for_bit(momentum, nesterov):
    """C-11 and C-18: ``optax.sgd`` on the same gradients, which are exact here."""
    width, start = np.array([1.0, 0.5, 2.0]), np.array([3.0, -7.3, 0.1])
    target = separate(width, start)
    same = dict.fromkeys(target.space.names, 0.1)
    trace = traced(pgd(lr_vec=same, momentum=momentum, nesterov=nesterov), target, 12)[1]["theta"]
    peer = optax.sgd(0.1, momentum=momentum, nesterov=nesterov)
    theta = jnp.asarray(start)
    state = peer.init(theta)
    for row in trace:
        np.testing.assert_array_equal(row, theta)
        update, state = peer.update(jnp.asarray(width**2) * theta, state, theta)
        theta = optax.apply_updates(theta, update)


def test_the_step_is_the_rates_times_the_gradient_and_follows_from_what_is_recorded():
    """A-13 and A-09, bit for bit: θ1 = θ0 − lr_vec ⊙ g0, and lr_vec from curvature, scale and options in NumPy."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    _, trace, found = traced(pgd(momentum=0.0), target, 3)
    own = found.arrays
    np.testing.assert_array_equal(trace["theta"][1], trace["theta"][0] - own["lr_vec"] * trace["grad"][0])
    again = rates(own["curvature"], own["scale"], found.metrics["base_lr"], free(len(own["scale"])), Rule(), xp=np)
    np.testing.assert_array_equal(again.lr_vec, own["lr_vec"])
    np.testing.assert_array_equal(own["curvature"], own["curvature_raw"] * (own["scale"] * own["scale"]))
    assert np.any(traced(pgd(momentum=0.0, power=0.5), target, 2)[1]["theta"][1] != trace["theta"][1])


def test_the_trace_belongs_together():
    """A-01: loss, gradient and step of a row are of its theta, and the result is the last row."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    _, trace, found = traced(pgd(blocks={"a": ["amplitude"]}), target, 12)
    loss = jax.jit(lambda theta: -target.log_likelihood_at(theta))
    np.testing.assert_allclose(trace["loss"], [float(loss(row)) for row in trace["theta"]], rtol=1e-12)
    np.testing.assert_array_equal(trace["theta"][0], target.start_theta())
    np.testing.assert_array_equal(trace["theta"][-1], found.theta)
    steps = np.linalg.norm(np.diff(trace["theta"], axis=0), axis=1)
    np.testing.assert_allclose(trace["step_norm"], [0.0, *steps], rtol=1e-12)
    np.testing.assert_allclose(np.sum(trace["block_grad_norm"] ** 2, axis=1), trace["grad_norm"] ** 2, rtol=1e-12)
    assert float(found.metrics["loss_best"]) == trace["loss"].min()
    assert int(found.metrics["best_step"]) == trace["loss"].argmin()


def test_the_empirical_fisher_of_a_model_that_is_true():
    """C-13: squared gradients of 1e5 terms at the truth add up to the Fisher matrix within 2 %."""
    rng = np.random.default_rng(5)
    design, noise = rng.normal(size=(100_000, 3)), rng.normal(size=100_000)

    class Line(Bowl):
        def residuals(self, theta):
            return jnp.asarray(design) @ theta - jnp.asarray(noise)

    target = at_start(Line(space_of(np.zeros(3)), jnp.eye(3)))
    seen = diagonal_of(target, target.start(), "empirical_fisher", "likelihood", scale=target.scale).value
    np.testing.assert_allclose(seen, np.sum(design**2, axis=0), rtol=0.02)


def test_a_blend_is_its_formula():
    """C-14, bit for bit; squared gradients are blended with curvatures on purpose only."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    both = ["gn_diag", "ema_grad2"]
    state = traced(pgd(curvature=both, allow_mixed=True, blend=0.3, scale="none"), target, 1)
    raw = np.abs(np.asarray(state[0].curved.raw))
    np.testing.assert_array_equal(state[2].arrays["curvature"], 0.3 * raw[0] + (1.0 - 0.3) * raw[1])
    with pytest.raises(ValueError, match="allow_mixed"):
        pgd(curvature=both)


def test_a_schedule_is_that_of_optax():
    """C-15: base_lr[t] is the schedule at t."""
    data = {"schedule": "warmup_cosine_decay_schedule", "init_value": 0.1, "peak_value": 1.0, "warmup_steps": 4}
    data |= {"decay_steps": 20, "end_value": 0.05}
    trace = traced(gd(base_lr=1.0, schedule=data), separate([0.5, 0.5], [1.0, 2.0]), 24)[1]["base_lr"]
    peer = optax.warmup_cosine_decay_schedule(0.1, 1.0, 4, 20, 0.05)
    np.testing.assert_allclose(trace, [float(peer(t)) for t in range(24)], rtol=1e-13)


def test_inverse_square_root():
    """Decision 4: base_lr · 1/√(curvature + 1e-8) before any clipping, bit for bit."""
    target = separate(np.random.default_rng(1).lognormal(sigma=4.0, size=100), np.ones(100))
    found = traced(pgd(precond="inverse-sqrt", base_lr=0.3, momentum=0.0), target, 1)[2].arrays
    np.testing.assert_array_equal(found["lr_vec"], 0.3 * (1.0 / np.sqrt(found["curvature_raw"] + 1e-8)))
    assert found["clipped"].sum() == found["floored"].sum() == 0


def test_rates_of_an_earlier_run_give_its_trajectory(tmp_path):
    """Bit for bit, from a file; those of other parameters are refused before anything is evaluated."""
    target = target_of(decay.build(DecayOptions(data_seed=1)))
    first = traced(pgd(), target, 20)
    names, own = np.array(target.space.names), first[2].arrays["lr_vec"]
    file = tmp_path / "precond.npz"
    np.savez(file, lr_vec=own, parameter=names)
    again = traced(pgd(lr_vec=str(file)), target, 20)
    np.testing.assert_array_equal(again[1]["theta"], first[1]["theta"])
    (tmp_path / "rates.csv").write_text(
        "parameter,lr_vec\n" + "".join(f"{n},{v!r}\n" for n, v in zip(names, own.tolist(), strict=True))
    )
    again = traced(pgd(lr_vec=str(tmp_path / "rates.csv")), target, 2)
    np.testing.assert_array_equal(again[1]["theta"], first[1]["theta"][:2])
    with pytest.raises(InvalidValue, match="of the parameters"):
        pgd(lr_vec=dict(zip(names[::-1].tolist(), own.tolist(), strict=True))).init(target, jax.random.key(0))
    with pytest.raises(InvalidValue, match=r"the run's are z\[0\]"):
        pgd(lr_vec=str(file), theta_map={}).init(target, jax.random.key(0))
    np.savez(tmp_path / "bare.npz", lr_vec=own)
    with pytest.raises(CampaignError, match="parameter"):
        pgd(lr_vec=str(tmp_path / "bare.npz"))


def test_endings_name_the_parameter():
    """A rate that is too large, a gradient that is not finite, a loss that nothing changes."""
    problem = separate([1.0, 30.0], np.ones(2)).problem
    found = campaign.fit(problem, "gd", engine_options={"base_lr": 0.5})
    assert found.outcome == "diverged"
    assert "`x1`" in found.message
    assert "base_lr" in found.message
    assert np.isfinite(found.trace["loss"][:3]).all()
    assert len(found.trace["loss"]) == found.n_steps

    class Root(Bowl):
        def log_likelihood(self, theta):
            return -jnp.sqrt(theta[1]) - theta[0] ** 2

    found = campaign.fit(Root(space_of([1.0, 0.0]), jnp.eye(2)), "gd", engine_options={"base_lr": 0.1})
    assert found.outcome == "nonfinite"
    assert "`x1`" in found.message
    found = campaign.fit(separate([0.0, 0.0], np.ones(2)).problem, "pgd", engine_options={"base_lr": 0.1})
    assert found.outcome == "stalled"
    assert "no parameter changes the loss" in found.message


def test_a_run_that_has_not_arrived_does_not_say_so(wide):
    """Power ½ stops gaining long before the minimum: stalled or out of steps, never converged."""
    _, target = wide
    assert ended(pgd(power=0.5, base_lr=1e-6, max_steps=200, **EXACT), target).outcome != Outcome.CONVERGED
    assert ended(pgd(base_lr=1.0, **EXACT), target).outcome == Outcome.CONVERGED


def test_a_minimum_on_a_bound():
    """The step ends on the bound, and a gradient that pushes outward does not keep the run from converging."""
    found = ended(pgd(), separate([1.0, 2.0], [3.0, 3.0], mean=-1.0, lower=0.5))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_array_equal(found.result.theta, 0.5)
    np.testing.assert_array_equal(found.result.at_bound, -1)


def test_a_mean_over_the_data_has_no_curvature():
    """Section 0.6: it can be minimised with a rate that is given, and gives no errors."""

    class Mean(Bowl):
        is_mean = True

    target = at_start(Mean(space_of([1.0, 2.0]), jnp.eye(2)))
    with pytest.raises(InvalidValue, match="mean over the data"):
        pgd().init(target, jax.random.key(0))
    found = ended(gd(base_lr=0.5, max_steps=60), target)
    np.testing.assert_allclose(found.result.theta, 0.0, atol=1e-6)
    assert np.isnan(found.result.stderr).all()


def errors_in_sigma(theta):
    sigma = np.sqrt(np.diag(np.linalg.inv(np.load(_fisher()))))
    return np.max(np.abs(theta - np.array(GOLDEN["B"]["theta_map"])) / sigma, axis=1)


def _fisher():
    from descending import DATA

    return DATA / "fisher_B.npy"


def test_the_surrogate_of_the_fitted_image_in_as_many_steps_as_its_recursion():
    """C-12 on the quadratic: power 1 at the best rate 23 and 40 steps to an excess of 1 and 1e-3, 30 to 0.1 σ."""
    options = {"curvature": "gn_diag", "base_lr": 0.7621419904332225, "momentum": 0.0}
    trace = traced(pgd(**options), surrogate(), 60)[1]
    assert first_below(trace["loss"], 1.0) == 23
    assert first_below(trace["loss"], 1e-3) == 40
    assert first_below(errors_in_sigma(trace["theta"]), 0.1) == 30
    nesterov = traced(pgd(base_lr=0.406), surrogate(), 60)[1]
    assert first_below(nesterov["loss"], 1e-3) <= 50


def test_adam_on_the_surrogate_in_as_many_steps_as_its_recursion():
    """218 steps to an excess of 1e-3 at a rate of 0.1 priors' widths, 193 to 0.1 σ; 719 at 1 width of the diagonal."""
    trace = traced(optax_engine(base_lr=0.1), surrogate(), 240)[1]
    assert first_below(trace["loss"], 1e-3) == pytest.approx(218, abs=2)
    assert first_below(errors_in_sigma(trace["theta"]), 0.1) == pytest.approx(193, abs=2)
    trace = traced(optax_engine(base_lr=1.0, scaling="gn_diag"), surrogate(), 740)[1]
    assert first_below(trace["loss"], 1e-3) == pytest.approx(719, abs=3)


CLIPPED = [{"transform": "clip_by_global_norm", "max_norm": 1.0}, {"transform": "adam", "b1": 0.8}]


@pytest.mark.parametrize(
    ("chain", "peer"),
    [
        (["adam"], optax.adam(0.2)),
        (["rmsprop"], optax.rmsprop(0.2)),
        (["sgd"], optax.sgd(0.2)),
        (CLIPPED, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.2, b1=0.8))),
    ],
    ids=["adam", "rmsprop", "sgd", "clipped"],
)
def test_transformations_are_those_of_optax(chain, peer):
    """The same numbers as a loop of optax gives."""
    width, start = np.array([1.0, 0.5, 2.0]), np.array([3.0, -7.3, 0.1])
    trace = traced(optax_engine(chain=chain, base_lr=0.2, scaling="none"), separate(width, start), 15)[1]["theta"]
    theta = jnp.asarray(start)
    state = peer.init(theta)
    for row in trace:
        np.testing.assert_allclose(row, theta, rtol=1e-12)
        update, state = peer.update(jnp.asarray(width**2) * theta, state, theta)
        theta = optax.apply_updates(theta, update)


def test_eigenmodes_of_the_surrogate():
    """Whitened, the loss of one rate 0.7 falls by 0.3² a step, whatever the condition number (7e8 here)."""
    _, trace, found = traced(gd(base_lr=0.7, theta_map={}), surrogate(), 12)
    expected = trace["loss"][0] * 0.3 ** (2.0 * np.arange(12))
    np.testing.assert_allclose(trace["loss"], expected, rtol=1e-5, atol=1e-9)
    assert first_below(trace["loss"], 1e-3) <= 15
    assert int(found.metrics["n_modes"]) == 20
    np.testing.assert_allclose(trace["z"][0], 0.0, atol=1e-12)
    theta = found.arrays["theta_ref"] + trace["z"] @ found.arrays["theta_map"].T
    np.testing.assert_allclose(theta, trace["theta"], rtol=1e-12, atol=1e-12)


def test_fewer_modes_than_parameters():
    """The minimum in the span of the best constrained modes: least squares in k unknowns."""
    fisher = np.array([[4.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 0.1875]])
    start, minimum = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    target = quadratic(fisher, minimum, start)
    values, vectors = np.linalg.eigh(fisher)
    kept = vectors[:, ::-1][:, :2]
    expected = start + kept @ np.linalg.solve(kept.T @ fisher @ kept, kept.T @ fisher @ (minimum - start))
    close = {"tol": 1e-20, "ftol": 1e-20}
    least = {"min_eigenvalue": float(values[0]) * 2}
    for engine in (gd(base_lr=0.7, theta_map={"truncate": 2}, **close), gd(theta_map=least, **close)):
        found = ended(engine, target)
        np.testing.assert_allclose(found.result.theta, expected, rtol=1e-7)
        assert int(found.result.metrics["n_modes"]) == 2
        assert float(found.result.metrics["off_span"]) == pytest.approx(0.0, abs=1e-12)
    elsewhere = gd(theta_map={"truncate": 2, "reference": {"x0": 0.0, "x1": 0.0, "x2": 0.0}})
    away = ended(elsewhere, target).result.metrics["off_span"]
    assert float(away) == pytest.approx(abs(vectors[:, 0] @ start), rel=1e-9)


def test_modes_are_those_of_numpy_with_a_fixed_sign():
    target = surrogate()
    modes = Modes.of(target.map, target.start(), curvature(target, target.start(), False), target.scale)
    scaled = np.load(_fisher()) * np.outer(target.scale, target.scale)
    np.testing.assert_allclose(modes.eigenvalues, np.linalg.eigvalsh(scaled)[::-1], rtol=1e-9)
    loadings = np.asarray(modes.matrix) / np.asarray(target.scale)[:, None]
    assert np.all(loadings[np.abs(loadings).argmax(axis=0), range(20)] > 0)
    np.testing.assert_allclose(np.asarray(modes.inverse @ modes.matrix), np.eye(20), atol=1e-9)


def test_blocks_of_modes_are_those_of_the_largest_loading():
    """Block norms add up to the norm of the gradient in modes too."""
    target = dataclasses.replace(separate([1.0, 8.0, 64.0], np.ones(3)))
    _, trace, _ = traced(gd(theta_map={}, blocks={"stiff": ["x2"]}), target, 2)
    np.testing.assert_allclose(trace["block_grad_norm"][0], [64.0, np.hypot(1.0, 8.0)], rtol=1e-12)
