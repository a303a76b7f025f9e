"""Whether an image tells the signs of the wavefront: of many pupil masks it does not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from campaign_optics.model.two_plane import TwoPlaneModel, compiled
from campaign_optics.physics.zernike import is_even

_LEAST = 1e-6  # of the brightest pixel: a change of the image below it is none


class SignTwinWarning(UserWarning):
    """Two wavefronts give one image."""


@dataclass(frozen=True, slots=True, eq=False)
class SignTwin:
    """What becomes of an image when the signs of all even Zernike coefficients are turned.

    Attributes:
        difference: of the images, the largest, in units of the brightest pixel.
        theta: with the signs turned.
    """

    difference: float
    theta: Float[np.ndarray, " d"]

    @property
    def is_twin(self) -> bool:
        """The images are one: a fit may end in either place."""
        return self.difference < _LEAST


def check_sign_twin(model: TwoPlaneModel, theta: Sequence[float] | np.ndarray) -> SignTwin:
    """Turn the signs of the even Zernike coefficients, and compare the images; warns where they are one.

    A pupil whose mask has P(−u) = 1 − P(u) gives both wavefronts the same image exactly.

    Warns:
        SignTwinWarning: the images differ by less than 1e-6 of the brightest pixel.

    Checked: tests/oracle/test_optics_golden.py: mask A 3e-16, mask B 6.5 %.
    """
    own = np.array(theta, np.float64)
    turned = own.copy()
    design = model.design
    for i, j in enumerate((*design.primary_noll, *design.secondary_noll)):
        if is_even(j):
            turned[7 + i] = -own[7 + i]
    one, other = (np.asarray(compiled(model)(at)) for at in (own, turned))
    found = SignTwin(float(np.abs(one - other).max() / np.abs(one).max()), turned)
    if found.is_twin and not np.array_equal(own, turned):
        warnings.warn(
            f"turning the signs of all even Zernike coefficients changes the image by {found.difference:.2g}: the mask "
            f"`{model.mask}` does not tell them, and a fit may end {np.abs(own - turned).max():.3g} nm away",
            SignTwinWarning,
            stacklevel=2,
        )
    return found
