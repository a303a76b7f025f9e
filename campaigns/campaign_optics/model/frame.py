"""One image of a binary star against the model."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import InvalidValue, Problem, ThetaSpace, start_jax
from campaign_optics.model import likelihood
from campaign_optics.model.parameters import block_of
from campaign_optics.model.two_plane import TwoPlaneModel
from campaign_optics.physics.designs import raw_fluxes


class BinaryFrame(Problem):
    """An image against the model.

    Attributes:
        electrons: measured, (n, n).
        weight: 1/σ of each pixel, and 0 where it is left out; 1 and 0 for a Poisson likelihood.
        log_norm: what −½ r·r lacks as a density of the data.
        true_theta: behind a simulated image; zeros for a measured one.
        model: what predicts the image; static.
        kind: "gaussian" or "poisson"; static.
        normalize, has_truth, penalty: static.
    """

    electrons: Float[Array, "n n"]
    weight: Float[Array, "n n"]
    log_norm: Float[Array, ""]
    true_theta: Float[Array, " d"]
    space: ThetaSpace = eqx.field(static=True)
    model: TwoPlaneModel = eqx.field(static=True)
    kind: str = eqx.field(static=True, default="gaussian")
    normalize: bool = eqx.field(static=True, default=False)
    has_truth: bool = eqx.field(static=True, default=True)
    penalty: bool = eqx.field(static=True, default=False)

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        """Those of the pixels, row by row; then (θ − μ)/σ of each normal prior of what is free, with `penalty`."""
        r = self._pixels(self.model.predict(theta))
        if not self.penalty:
            return r
        normal = [(i, p.prior.numbers) for i, p in enumerate(self.space.parameters) if _is_normal(p)]
        mean, sigma = (np.array([numbers[k] for _, numbers in normal]) for k in (0, 1))
        return jnp.concatenate([r, (theta[np.array([i for i, _ in normal], int)] - mean) / sigma])

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        """−½ r·r of the pixels; as a density of the data with `normalize`."""
        r = self._pixels(self.model.predict(theta))
        return -0.5 * jnp.dot(r, r) + (self.log_norm if self.normalize else 0.0)

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {"image": self.model.predict(theta)}

    def coordinates(self) -> dict[str, dict[str, Array]]:
        pixels = jnp.arange(self.model.design.image_pixels)
        return {"image": {"row": pixels, "column": pixels}}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """χ², pixels that are used, photons of both stars."""
        r = self._pixels(self.model.predict(theta))
        fluxes = raw_fluxes(theta[4], theta[5])
        n = jnp.count_nonzero(self.weight > 0)
        return {"chi2": jnp.dot(r, r), "n_pixels": n.astype(r.dtype), "flux_a": fluxes[0], "flux_b": fluxes[1]}

    def truth(self) -> dict[str, Array]:
        return {name: self.true_theta[i] for i, name in enumerate(self.space.names)} if self.has_truth else {}

    def block(self, name: str) -> str:
        return block_of(name)

    def units(self) -> dict[str, str]:
        return {"image": "e", "flux_a": "photons", "flux_b": "photons"}

    def _pixels(self, image: Float[Array, "n n"]) -> Float[Array, " N"]:
        own = likelihood.gaussian if self.kind == "gaussian" else likelihood.poisson
        return own(image.ravel(), self.electrons.ravel(), self.weight.ravel())


def frame_problem(
    model: TwoPlaneModel,
    space: ThetaSpace,
    electrons: Float[np.ndarray, "n n"],
    *,
    variance: Float[np.ndarray, "n n"] | None = None,
    left_out: np.ndarray | None = None,
    kind: str = "gaussian",
    truth: np.ndarray | None = None,
    normalize: bool = False,
    penalty: bool = False,
) -> BinaryFrame:
    """The problem of one image.

    Args:
        variance: of each pixel, of a Gaussian likelihood.
        left_out: pixels that say nothing, beside those whose electrons or variance are no numbers.
        truth: theta behind it, where that is known.

    Raises:
        InvalidValue: another size than the model's, variances below 0 or missing, counts below 0 of a Poisson
            likelihood, or no pixel left.
    """
    start_jax()
    n = model.design.image_pixels
    if electrons.shape != (n, n):
        raise InvalidValue(f"the image has {electrons.shape} pixels", hint=f"set `pixels` to what it has, not {n}")
    used = np.isfinite(electrons) if left_out is None else np.isfinite(electrons) & ~np.asarray(left_out, bool)
    weight = np.ones((n, n))
    if kind == "gaussian":
        if variance is None:
            raise InvalidValue("a Gaussian likelihood needs a variance of each pixel")
        used &= np.isfinite(variance)
        if np.any(variance[used] <= 0):
            raise InvalidValue("a pixel has a variance of 0 or below", hint="mask it, or give `read_noise_e` above 0")
        weight = 1.0 / np.sqrt(np.where(used, variance, 1.0))
    elif np.any(electrons[used] < 0):
        raise InvalidValue(
            f"a pixel has {electrons[used].min():.4g} electrons, which no Poisson distribution gives",
            hint='"read_noise_e": 0 where the image is simulated; "likelihood": "gaussian"; or mask it',
        )
    if not used.any():
        raise InvalidValue("the mask leaves no pixel of the image")
    weight = np.where(used, weight, 0.0)
    data = np.where(used, electrons, 0.0)
    return BinaryFrame(
        electrons=jnp.asarray(data),
        weight=jnp.asarray(weight),
        log_norm=jnp.asarray(likelihood.log_norm(kind, data, weight)),
        true_theta=jnp.asarray(np.zeros(len(space)) if truth is None else truth),
        space=space,
        model=model,
        kind=kind,
        normalize=normalize,
        has_truth=truth is not None,
        penalty=penalty,
    )


def _is_normal(parameter) -> bool:
    return parameter.free and parameter.prior is not None and parameter.prior.kind == "normal"
