"""A simulated night: frames of a star pair whose telescope drifts."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import start_jax
from campaign_optics.model import options as option_models
from campaign_optics.model.simulated import noisy
from campaign_optics.model.two_plane import TwoPlaneModel

FRAME_S = 0.05  # 20 frames a second
_STARS = ("binary.separation_as", "binary.position_angle_deg", "binary.contrast")  # of the sky: they do not drift
_PERIODS_S = (600.0, 1800.0)
_BATCH = 16
_DRIFT, _NOISE = 1, 2  # what a generator is for


def drift(
    options: option_models.BinaryFrameOptions, n_frames: int, seed: int = 0
) -> tuple[tuple[str, ...], Float[np.ndarray, "n d"]]:
    """Names, and theta behind each frame: θ(t) = initial + σ z, and what is not of the stars + σ sin(2π t/T + φ).

    σ are the usual prior widths, z ~ N(0, 1), T uniform from 600 to 1,800 s, φ uniform; frames are 0.05 s apart. So
    nothing moves by more than 0.05 σ in 5 s, and a fit from the initial values starts as far off as priors are wide.
    Fixed parameters keep their values.
    """
    space = option_models.space(options.model_copy(update={"init": "explicit"}))
    rng = np.random.default_rng([seed, _DRIFT])
    d = len(space)
    normal, period, phase = rng.standard_normal(d), rng.uniform(*_PERIODS_S, d), rng.uniform(0.0, 2.0 * np.pi, d)
    time = FRAME_S * np.arange(n_frames)[:, None]
    sigma = np.array([p.typical * p.free for p in space.parameters])
    moves = sigma * np.array([name not in _STARS for name in space.names])
    path = space.initial + sigma * normal + moves * np.sin(2.0 * np.pi * time / period + phase)
    bounds = (np.array([getattr(p, end) for p in space.parameters]) for end in ("lower", "upper"))
    return space.names, np.clip(path, *bounds)


def night(
    options: option_models.BinaryFrameOptions, thetas: Float[np.ndarray, "n d"], seed: int = 0
) -> Iterator[Float[np.ndarray, "b n n"]]:
    """Noisy frames at thetas, some at a time. Each has its own generator: a longer night begins as a shorter one."""
    start_jax()
    model = TwoPlaneModel(option_models.telescope(options), options.mask)
    images = jax.jit(lambda batch: jax.lax.map(model.predict, batch))
    for first in range(0, len(thetas), _BATCH):
        batch = thetas[first : first + _BATCH]
        full = np.concatenate([batch, np.repeat(batch[-1:], _BATCH - len(batch), axis=0)])
        means = np.asarray(images(jnp.asarray(full)))[: len(batch)]
        rngs = [np.random.default_rng([seed, _NOISE, first + i]) for i in range(len(batch))]
        yield np.stack([noisy(mean, options.read_noise_e, rng) for mean, rng in zip(means, rngs, strict=True)])
