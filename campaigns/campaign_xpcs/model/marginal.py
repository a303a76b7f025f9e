"""The likelihood of the physics alone: contrasts and offsets, which are linear, integrated out exactly."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.science import InvalidValue, Problem, ThetaSpace
from campaign_xpcs.model.parameters import CONTRAST, OFFSET
from campaign_xpcs.model.reference_time import ReferenceTime
from campaign_xpcs.model.stored_rows import in_memory
from campaign_xpcs.model.two_time import TwoTimeProblem


class MarginalProblem(Problem):
    """ln ∫ L(physics, c, o) p(c, o) dc do, with a flat or a normal prior of each contrast c and offset o.

    Of a stretch of rows (an angle, or all) with r0 = W (c̄ h + ō − d), A = W [h, 1], P the precision of the prior about
    (c̄, ō), B = AᵀA + P and b = −Aᵀ r0: ln L = −½ (r0·r0 − b·B⁻¹ b) − ½ ln det B + ½ ln det P; a flat prior has P = 0
    and no last term. Bounds of contrasts and offsets do not cut the integral.

    Residuals are those at the best contrasts and offsets under the prior (and its own rows, where it is normal), so
    least squares find the profile; `n_profiled` counts what is solved for.

    Attributes:
        inner: the problem with contrasts and offsets.
        centre: (c̄, ō); precision: of the prior, (2,); 0 is flat.
        space: of the physics; static.
        each: whether stretches are angles; static.

    Source: Bishop 2006, Pattern Recognition and Machine Learning, sec. 3.5.
    Checked: tests/unit/xpcs/test_xpcs_marginal.py against quadrature.
    """

    inner: TwoTimeProblem
    centre: Float[Array, " 2"]
    precision: Float[Array, " 2"]
    space: ThetaSpace = eqx.field(static=True)
    each: bool = eqx.field(static=True, default=True)

    @property
    def absolute_sigma(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.inner.absolute_sigma

    @property
    def n_profiled(self) -> int:
        """Contrasts and offsets that are solved for."""
        return self.inner.n_linear

    @property
    def n_masked(self) -> Array:
        return self.inner.n_masked

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " rows"]:
        r0, design, solved, _ = self._solved(theta)
        own = r0 + jnp.einsum("kmi,ki->km", design, solved)
        return jnp.concatenate([own.reshape(-1), (jnp.sqrt(self.precision)[None] * solved).reshape(-1)])

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        r0, design, solved, curved = self._solved(theta)
        own = r0 + jnp.einsum("kmi,ki->km", design, solved)
        misfit = jnp.sum(own**2) + jnp.sum(self.precision[None] * solved**2)
        logs = jnp.sum(jnp.log(curved[:, 0, 0] * curved[:, 1, 1] - curved[:, 0, 1] ** 2))
        known = jnp.sum(jnp.log(jnp.where(self.precision > 0, self.precision, 1.0))) * curved.shape[0]
        return -0.5 * (misfit + logs - known)

    def scales(self, theta: Float[Array, " d"]) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """The best contrasts and offsets, of each stretch."""
        solved = self._solved(theta)[2] + self.centre[None]
        return solved[:, 0], solved[:, 1]

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        contrast, offset = self.scales(theta)
        return {**self.inner.rates(self.whole(theta)), "contrast": contrast, "offset": offset}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return self.inner.derived(self.whole(theta))

    def degenerate(self) -> dict[str, str]:
        return self.inner.degenerate()

    def truth(self) -> dict[str, Array]:
        return {name: value for name, value in self.inner.truth().items() if name in self.space.names}

    def chart(self, space: ThetaSpace, theta: Float[Array, " d"]) -> ReferenceTime | None:
        return self.inner.chart(space, self.whole(theta))

    def block(self, name: str) -> str:
        return self.inner.block(name)

    def units(self) -> dict[str, str]:
        return self.inner.units()

    def whole(self, theta: Float[Array, " d"]) -> Float[Array, " all"]:
        """Theta of the inner problem, with contrasts and offsets at the centre."""
        scales = jnp.repeat(self.centre, self.inner.n_linear // 2, total_repeat_length=self.inner.n_linear)
        return jnp.concatenate([scales.astype(theta.dtype), theta])

    def _solved(self, theta: Float[Array, " d"]) -> tuple[Array, Array, Array, Array]:
        """r0 (k, m), A (k, m, 2), the shift from the centre (k, 2), B (k, 2, 2)."""
        whole = self.whole(theta)
        h = self.inner.shapes(whole)
        weight = jnp.broadcast_to(self.inner.weight, h.shape)
        r0 = (self.centre[0] * h + self.centre[1] - in_memory(self.inner.data)) * weight
        design = jnp.stack([h * weight, weight], axis=-1)
        if not self.each:
            r0, design = r0.reshape(1, -1), design.reshape(1, -1, 2)
        curved = jnp.einsum("kmi,kmj->kij", design, design) + jnp.diag(self.precision)[None]
        slope = jnp.einsum("kmi,km->ki", design, r0)
        return r0, design, -jax.vmap(jnp.linalg.solve)(curved, slope), curved


def marginal_problem(
    problem: TwoTimeProblem, *, space: ThetaSpace, prior: str = "flat", n_shards: int = 1
) -> MarginalProblem:
    """The problem without contrasts and offsets.

    Args:
        problem: with scaling "individual" or "averaged".
        space: of the physics.
        prior: "flat", or "normal": mean and standard deviation of the table.
        n_shards: K; the normal prior is taken to the power 1/K.

    Raises:
        InvalidValue: another scaling.
    """
    if problem.scaling not in ("individual", "averaged"):
        raise InvalidValue(f"scaling `{problem.scaling}` cannot be integrated out", hint="individual or averaged")
    precision = [1.0 / (n_shards * own.sd**2) if prior == "normal" else 0.0 for own in (CONTRAST, OFFSET)]
    return MarginalProblem(
        inner=problem,
        centre=jnp.asarray([CONTRAST.mean, OFFSET.mean]),
        precision=jnp.asarray(precision),
        space=space,
        each=problem.scaling == "individual",
    )
