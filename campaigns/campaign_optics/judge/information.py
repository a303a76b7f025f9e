"""The Fisher information of a problem at a point, and what follows: errors, conditioning, mass matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue, start_jax
from campaign_optics.model.frame import BinaryFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Information:
    """F = JᵀJ of the whitened residuals, in theta.

    Attributes:
        names: of what is free, in the order of the matrix.
        at: their values.
        fisher: (d, d).
        prior: 1/σ² of normal priors, 0 without one, (d,).
        typical: sizes of changes, for scaling: σ of a normal prior, else the parameter's scale.
    """

    names: tuple[str, ...]
    at: Float[np.ndarray, " d"]
    fisher: Float[np.ndarray, "d d"]
    prior: Float[np.ndarray, " d"]
    typical: Float[np.ndarray, " d"]

    def covariance(self, *, with_prior: bool = False) -> Float[np.ndarray, "d d"]:
        """(F + prior)⁻¹, by way of a unit diagonal.

        Raises:
            InvalidValue: a combination of parameters does not change the image.
        """
        matrix = self.fisher + np.diag(self.prior) if with_prior else self.fisher
        diagonal = np.diag(matrix)
        if not np.all(diagonal > 0):
            name = self.names[int(np.argmin(diagonal))]
            raise InvalidValue(
                f"`{name}` does not change the image", hint="leave it out of `infer`, or give it a prior"
            )
        scale = 1.0 / np.sqrt(diagonal)
        scaled = matrix * scale[:, None] * scale[None, :]
        least = float(np.linalg.eigvalsh(scaled)[0])
        if least <= len(scale) * np.finfo(float).eps:
            raise InvalidValue(
                f"the smallest eigenvalue of the scaled information is {least:.3g}: a combination of parameters does "
                "not change the image",
                hint="give priors, or infer fewer parameters",
            )
        return np.linalg.inv(scaled) * scale[:, None] * scale[None, :]

    def stderr(self, *, with_prior: bool = False) -> dict[str, float]:
        """Standard errors by name: the Cramér-Rao bound where there is no prior."""
        sigma = np.sqrt(np.diag(self.covariance(with_prior=with_prior)))
        return dict(zip(self.names, sigma.tolist(), strict=True))


def information(
    problem: BinaryFrame, theta: Sequence[float] | np.ndarray, *, infer: Sequence[str] | None = None
) -> Information:
    """The expected information about what is free, at a whole theta.

    F_ij = Σ_pixels ∂_i m ∂_j m / v; v = m of a Poisson likelihood. Not the Hessian of a likelihood of noisy data,
    which away from its maximum may be indefinite.

    Args:
        problem: image, weights, and the space of theta.
        theta: all parameters, in the order of ``problem.space``.
        infer: parameters, where not the problem's free ones.

    Checked: tests/oracle/test_optics_golden.py against a stored matrix, and the closed form of a linear model.
    """
    space = problem.space.with_free(None if infer is None else list(infer))
    own = [i for i, p in enumerate(space.parameters) if p.free]
    start_jax()
    at = jnp.asarray(np.asarray(theta, np.float64))
    image, columns = _jacobian(problem.model)(at)
    weight = problem.weight
    if problem.kind == "poisson":
        weight = jnp.where(weight > 0, 1.0 / jnp.sqrt(image), 0.0)
    columns = np.asarray(columns).reshape(len(space), -1)[own] * np.asarray(weight).ravel()
    free = [space.parameters[i] for i in own]
    normal = [p.prior.numbers[1] if p.prior is not None and p.prior.kind == "normal" else None for p in free]
    return Information(
        names=tuple(p.name for p in free),
        at=np.asarray(at)[own],
        fisher=columns @ columns.T,
        prior=np.array([0.0 if sigma is None else sigma**-2 for sigma in normal]),
        typical=np.array([p.typical if sigma is None else sigma for p, sigma in zip(free, normal, strict=True)]),
    )


def conditioning(found: Information) -> dict[str, float]:
    """Condition numbers of the information: how long gradient steps take in several coordinates.

    raw: F. prior_scaled: S F S with typical sizes S. half: with S = F_ii^(−1/4), what steps of 1/√F_ii see. diagonal:
    with S = F_ii^(−1/2), what steps of 1/F_ii see. diagonal_with_priors: the same of F + prior. spread: of F_ii.
    """

    def number(matrix: np.ndarray, scale: np.ndarray) -> float:
        eigenvalues = np.linalg.eigvalsh(matrix * scale[:, None] * scale[None, :])
        return float(eigenvalues[-1] / eigenvalues[0])

    diagonal = np.diag(found.fisher)
    both = found.fisher + np.diag(found.prior)
    return {
        "raw": number(found.fisher, np.ones_like(diagonal)),
        "prior_scaled": number(found.fisher, found.typical),
        "half": number(found.fisher, diagonal**-0.25),
        "diagonal": number(found.fisher, diagonal**-0.5),
        "diagonal_with_priors": number(both, np.diag(both) ** -0.5),
        "spread": float(diagonal.max() / diagonal.min()),
    }


def mass_matrix(
    found: Information, kind: Literal["dense", "diagonal"] = "dense", *, with_prior: bool = True
) -> np.ndarray:
    """The inverse mass matrix for hmc and nuts in theta: what they take for the covariance of the posterior.

    dense: (F + prior)⁻¹, (d, d). diagonal: its diagonal, the marginal variances, (d,), not the conditional 1/F_ii.
    """
    covariance = found.covariance(with_prior=with_prior)
    return covariance if kind == "dense" else np.diag(covariance).copy()


def _jacobian(model):
    def both(theta):
        image, tangent = jax.linearize(model.predict, theta)
        return image, jax.vmap(tangent)(jnp.eye(theta.shape[0]))

    return jax.jit(both)
