"""What `campaign` runs: a frame of a binary star, or a chain of them, from the options of a manifest."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from campaign.science import ThetaSpace
from campaign_optics.data.frames import frames
from campaign_optics.model import options as option_models
from campaign_optics.model import simulated
from campaign_optics.model.chain import BinaryChain, chain
from campaign_optics.model.frame import BinaryFrame, frame_problem
from campaign_optics.model.two_plane import TwoPlaneModel


def build(options: option_models.BinaryFrameOptions) -> BinaryFrame | BinaryChain:
    """The problem of one run: of one frame, or of as many as `chain` says.

    Raises:
        DataFileError, InvalidValue, Unavailable: a file that cannot be read, or an image that cannot be fitted.
    """
    if options.chain == 1:
        return frame(options)
    which = "seed" if options.data is None else "frame"
    first = getattr(options, which)
    return chain([frame(options.model_copy(update={which: first + i})) for i in range(options.chain)])


def frame(options: option_models.BinaryFrameOptions) -> BinaryFrame:
    """The problem of one frame.

    Raises:
        DataFileError, InvalidValue, Unavailable: a file that cannot be read, or an image that cannot be fitted.
    """
    model, space = _fixed(options.model_copy(update={"frame": 0, "seed": 0}).model_dump_json())
    space = option_models.space(options) if options.init != "explicit" else space
    shared = {"kind": options.likelihood, "normalize": options.normalize, "penalty": options.penalty}
    if options.data is not None:
        measured = frames(options.data).frame(options.frame)
        variance = measured.variance
        if variance is None:
            variance = np.maximum(measured.electrons, 0.0) + options.read_noise_e**2
        return frame_problem(
            model, space, measured.electrons, variance=variance, left_out=measured.is_left_out, **shared
        )
    truth = option_models.truth(options)
    flaws = simulated.Imperfection(
        offset_x=options.pixel_offset_x,
        offset_y=options.pixel_offset_y,
        response_rms=options.pixel_response_rms,
        response_seed=options.response_seed,
        jitter_as=options.jitter_as,
    )
    mean = simulated.expected(model, tuple(truth.tolist()), flaws)
    data = simulated.noisy(mean, options.read_noise_e, options.seed) if options.noise else mean
    variance = np.maximum(mean, 0.0) + options.read_noise_e**2
    return frame_problem(model, space, data, variance=variance, truth=truth, **shared)


@lru_cache(maxsize=64)
def _fixed(document: str) -> tuple[TwoPlaneModel, ThetaSpace]:
    """Model and space, which runs with other frames or seeds share."""
    options = option_models.BinaryFrameOptions.model_validate_json(document)
    return TwoPlaneModel(option_models.telescope(options), options.mask), option_models.space(options)
