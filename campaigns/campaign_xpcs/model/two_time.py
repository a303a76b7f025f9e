"""Two-time correlation maps against the model: points above the diagonal, angle by angle."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.science import Problem, RowPlan, ThetaSpace
from campaign_xpcs.model.parameters import is_static, n_harmonics, physical
from campaign_xpcs.model.reference_time import ReferenceTime, reference_time
from campaign_xpcs.model.stored_rows import StoredRows, in_memory
from campaign_xpcs.physics import correlation, pairs, transport

_INSIDE = "promise_in_bounds"


class TwoTimeProblem(Problem):
    """r = (offset_k + contrast_k h_k(i, j) − c2_k(i, j)) / σ over the pairs i < j of each angle k.

    Rows are angle by angle, as many of each. A pair counts once: fits of both triangles state errors that are √2 too
    small. Masked rows are exactly 0 and counted in `n_masked`. All physics goes through two vectors of length N, ∫J
    and ∫γ̇, so a row costs two differences, an exponential and a sine.

    Attributes:
        data: (n_phi, m); 0 where masked. `StoredRows` where they stay in a file: NaN where masked, w = 1.
        weight: 1/σ, (n_phi, m) or (n_phi, 1); 0 where masked.
        first, second: frames of each row, (m,), or (n_phi, m) where angles have other pairs; None is all pairs, in the
            order of `np.triu_indices(N, 1)`.
        times, dt: of the frames [s]; phi_deg: of the angles [degree]; q [1/Å]; gap [Å].
        basis: (n_phi, b), what contrasts and offsets are made of: harmonics of φ; static scaling "fourier" only.
        fixed_contrast, fixed_offset: (n_phi,), of scaling "fixed".
        masked_rows: rows that are always 0.
        true_theta: behind simulated data; NaN where there is no such thing.
        has_chart: samplers move in coordinates about the rates at t_ref, see `ReferenceTime`; static.
        space, mode, shear_model, integration, scaling, sigma_is_default, truth_names: static.
        plan: how the rows are held, where free memory decided it; static.
    """

    data: Float[Array, "n_phi m"] | StoredRows
    weight: Float[Array, "n_phi w"]
    first: Int[Array, "... m"] | None
    second: Int[Array, "... m"] | None
    times: Float[Array, " N"]
    dt: Float[Array, ""]
    phi_deg: Float[Array, " n_phi"]
    q: Float[Array, ""]
    gap: Float[Array, ""]
    basis: Float[Array, "n_phi b"]
    fixed_contrast: Float[Array, " n_phi"]
    fixed_offset: Float[Array, " n_phi"]
    masked_rows: Float[Array, ""]
    true_theta: Float[Array, " d"]
    space: ThetaSpace = eqx.field(static=True)
    mode: str = eqx.field(static=True)
    shear_model: str = eqx.field(static=True)
    integration: str = eqx.field(static=True)
    scaling: str = eqx.field(static=True)
    sigma_is_default: bool = eqx.field(static=True, default=False)
    truth_names: tuple[str, ...] = eqx.field(static=True, default=())
    plan: RowPlan | None = eqx.field(static=True, default=None)
    has_chart: bool = eqx.field(static=True, default=True)

    @property
    def absolute_sigma(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """False where nobody gave an error: then errors are scaled by χ² per degree of freedom."""
        return not self.sigma_is_default

    @property
    def row_plan(self) -> RowPlan | None:
        return self.plan

    @property
    def n_masked(self) -> Array:
        """Rows that are no data."""
        return self.masked_rows

    @property
    def n_residuals(self) -> int:
        """n_phi · m."""
        return self.data.shape[-2] * self.data.shape[-1]

    def linear(self) -> tuple[tuple[str, ...], ...]:
        """What the model is linear in: a group an angle, or one group of all rows."""
        n = self.data.shape[-2]
        free = set(self.space.free_names)
        if self.scaling == "individual":
            groups = tuple((f"contrast[{k}]", f"offset[{k}]") for k in range(n))
        else:
            groups = (tuple(p.name for p in self.space.parameters[: self.n_linear]),)
        found = tuple(tuple(name for name in group if name in free) for group in groups)
        return found if all(found) else ()

    @property
    def n_linear(self) -> int:
        """Parameters of contrast and offset, the first of theta."""
        return len(self.space) - len(physical(self.mode))

    # -- the model --------------------------------------------------------------------------------------------------

    def scales(self, theta: Float[Array, " d"]) -> tuple[Float[Array, " n_phi"], Float[Array, " n_phi"]]:
        """(contrast, offset) of each angle."""
        n = self.data.shape[-2]
        if self.scaling == "fixed":
            return self.fixed_contrast, self.fixed_offset
        if self.scaling == "individual":
            return theta[:n], theta[n : 2 * n]
        if self.scaling == "averaged":
            return jnp.broadcast_to(theta[0], (n,)), jnp.broadcast_to(theta[1], (n,))
        b = n_harmonics((self.basis.shape[-1] - 1) // 2)
        return self.basis @ theta[:b], self.basis @ theta[b : 2 * b]

    def integrals(self, theta: Float[Array, " d"]) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        """q² ∫J [-] and ∫γ̇ [-] from the first frame to each; zeros without shear."""
        own = theta[self.n_linear :]
        damping = self.q**2 * transport.integral(self.times, own[0], own[1], own[2], self.dt, self.integration)
        if is_static(self.mode):
            return damping, jnp.zeros_like(damping)
        return damping, transport.integral(self.times, own[3], own[4], own[5], self.dt, self.integration)

    def shear(self, theta: Float[Array, " d"]) -> Float[Array, " n_phi"]:
        """x of a unit of strain, of each angle; zeros without shear."""
        if is_static(self.mode):
            return jnp.zeros_like(self.phi_deg)
        return correlation.shear_argument(self.q, self.gap, self.phi_deg, theta[-1], self.shear_model)

    def shape_at(self, u: Array, strain: Array, x: Array) -> Array:
        """h of rows: damping u, strain, and x of a unit of strain."""
        if is_static(self.mode):
            return jnp.exp(-u)
        return correlation.decay(u, x * strain, correlation.SHEAR_MODELS[self.shear_model].power)

    def shapes(self, theta: Float[Array, " d"]) -> Float[Array, "n_phi m"]:
        """h of all rows."""
        damping, strain = self.integrals(theta)

        def one(x: Array, i: Array, j: Array) -> Array:
            return self.shape_at(_step(damping, i, j), _step(strain, i, j), x)

        x = self.shear(theta)
        if self.first is None or self.second is None:
            i, j = pairs.frames_of(jnp.arange(self.data.shape[-1]), self.times.shape[-1])
        else:
            i, j = self.first, self.second
        if i.ndim == 2:
            return jax.vmap(one)(x, i, j)
        u, g = _step(damping, i, j), _step(strain, i, j)
        return jax.vmap(lambda own: self.shape_at(u, g, own))(x)

    # -- what engines ask -------------------------------------------------------------------------------------------

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " rows"]:
        contrast, offset = self.scales(theta)
        model = offset[:, None] + contrast[:, None] * self.shapes(theta)
        if isinstance(self.data, StoredRows):
            data = self.data.taken(jnp.zeros((), jnp.int64), self.n_residuals).reshape(model.shape)
            return _counted(model, data, self.weight).reshape(-1)
        return ((model - self.data) * self.weight).reshape(-1)

    def residual_rows(self, theta: Float[Array, " d"], start: Array, size: int) -> Float[Array, " size"]:
        """Some of the rows. Positions are 64-bit integers: 2³¹ rows are 23 angles of 13,700 frames."""
        m = self.data.shape[-1]
        rows = jnp.asarray(start, jnp.int64) + jnp.arange(size, dtype=jnp.int64)
        k = rows // m
        p = rows - k * m
        if self.first is None or self.second is None:
            i, j = pairs.frames_of(p, self.times.shape[-1])
        else:
            at = rows if self.first.ndim == 2 else p
            i, j = _taken(self.first.reshape(-1), at), _taken(self.second.reshape(-1), at)
        damping, strain = self.integrals(theta)
        contrast, offset = (_taken(own, k) for own in self.scales(theta))
        h = self.shape_at(_step(damping, i, j), _step(strain, i, j), _taken(self.shear(theta), k))
        if isinstance(self.data, StoredRows):
            return _counted(offset + contrast * h, self.data.taken(start, size), _taken(self.weight[:, 0], k))
        data = jax.lax.dynamic_slice(self.data.reshape(-1), (start,), (size,))
        if self.weight.shape[-1] == m:
            weight = jax.lax.dynamic_slice(self.weight.reshape(-1), (start,), (size,))
        else:
            weight = _taken(self.weight[:, 0], k)
        return (offset + contrast * h - data) * weight

    @property
    def n_stretches(self) -> int:
        """Angles: their rows are pairs of the same frames. 0: rows in a file are read in their order."""
        return 0 if isinstance(self.data, StoredRows) else self.data.shape[-2]

    def linear_columns(
        self, theta: Float[Array, " d"], start: Array, size: int
    ) -> tuple[Float[Array, "n_phi b size"], Float[Array, "n_phi size"]]:
        """What contrasts and offsets multiply, for the same pairs of all angles, and −c2/σ."""
        if self.first is None or self.second is None:
            i, j = pairs.frames_of(start + jnp.arange(size, dtype=jnp.int64), self.times.shape[-1])
        else:
            i, j = (jax.lax.dynamic_slice_in_dim(own, start, size, own.ndim - 1) for own in (self.first, self.second))
        curves = jnp.stack(self.integrals(theta))
        u, g = curves.at[:, j].get(mode=_INSIDE) - curves.at[:, i].get(mode=_INSIDE)
        u, g = (own if own.ndim == 2 else own[None, :] for own in (u, g))
        h = self.shape_at(u, g, self.shear(theta)[:, None])
        data, weight = (
            own if own.shape[-1] == 1 else jax.lax.dynamic_slice_in_dim(own, start, size, 1)
            for own in (in_memory(self.data), self.weight)
        )
        basis = self.basis if self.scaling == "fourier" else jnp.ones_like(data, shape=(data.shape[0], 1))
        weight = jnp.broadcast_to(weight, data.shape)
        phi = jnp.concatenate([own[:, None, :] * basis[:, :, None] for own in (h * weight, weight)], axis=1)
        return self._free_columns(theta, phi, -data * weight)

    def _free_columns(self, theta: Float[Array, " d"], phi: Array, rest: Array) -> tuple[Array, Array]:
        """Columns of the parameters that `linear` names; those that are fixed go into the rest."""
        own = self.linear()[0]
        if len(own) == phi.shape[1]:
            return phi, rest
        n = self.n_stretches if self.scaling == "individual" else 1
        names = np.array([p.name for p in self.space.parameters[: self.n_linear]]).reshape(-1, n)
        is_free = np.isin(names[:, 0], own)
        held = theta[: self.n_linear].reshape(-1, n).T[:, ~is_free]
        return phi[:, is_free], rest + jnp.sum(phi[:, ~is_free] * held[:, :, None], axis=1)

    def maps(self, theta: Float[Array, " d"]) -> Float[Array, "n_phi N N"]:
        """The model on the whole grid, diagonal included."""
        damping, strain = self.integrals(theta)
        u, g = (jnp.abs(own[:, None] - own[None, :]) for own in (damping, strain))
        contrast, offset = self.scales(theta)
        x = self.shear(theta)
        return jax.vmap(lambda c, o, own: o + c * self.shape_at(u, g, own))(contrast, offset, x)

    def rates(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """J(t) [Å²/s], as ``D``, and the shear rate [1/s], as ``gamma_dot``, at the times of the frames."""
        own = theta[self.n_linear :]
        found = {"D": transport.rate(self.times, own[0], own[1], own[2], self.dt)}
        if not is_static(self.mode):
            found["gamma_dot"] = transport.rate(self.times, own[3], own[4], own[5], self.dt)
        return found

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {**self.rates(theta), "c2": self.maps(theta)}

    def coordinates(self) -> dict[str, dict[str, Array]]:
        time = {"time": self.times}
        rates = {"D": time} | ({} if is_static(self.mode) else {"gamma_dot": time})
        return {**rates, "c2": {"phi": self.phi_deg, "time": self.times, "time_2": self.times}}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """D_ref = D0 t_ref^α and gamma_ref = γ̇0 t_ref^β at t_ref = √(dt t_max); share of the times with a floor; q.

        With harmonics of φ also their condition number: large where the angles cover a part of the circle only.
        """
        t_ref = jnp.sqrt(self.dt * self.times[-1])
        own = theta[self.n_linear :]
        found = {"t_ref": t_ref, "q": self.q}
        for names, (amplitude, exponent, offset) in _parts(self.mode, own).items():
            power = amplitude * transport.powers(self.times, exponent, self.dt)
            found[f"{names}_ref"] = amplitude * t_ref**exponent
            found[f"floored_{names}"] = jnp.mean(transport.is_floored(power, offset).astype(theta.dtype))
        if self.scaling == "fourier":
            found["basis_condition"] = jnp.linalg.cond(self.basis)
        return found

    def degenerate(self) -> dict[str, str]:
        text = "{} is floored at some times: hold {} where the data do not tell it"
        found = {"floored_D": text.format("D(t)", "D_offset")}
        if not is_static(self.mode):
            found["floored_gamma"] = text.format("the shear rate", "gamma_dot_t_offset")
        return found

    def chart(self, space: ThetaSpace, theta: Float[Array, " d"]) -> ReferenceTime | None:
        if not self.has_chart:
            return None
        names = self.space.names[self.n_linear :]
        return reference_time(space, names, theta[self.n_linear :], self.times, self.dt)

    def truth(self) -> dict[str, Array]:
        return {name: self.true_theta[self.space.index(name)] for name in self.truth_names}

    def block(self, name: str) -> str:
        """Contrasts, offsets, diffusion, shear."""
        stem = name.partition("[")[0].partition("_c")[0]
        if stem in ("contrast", "offset"):
            return stem
        return "diffusion" if name in ("D0", "alpha", "D_offset") else "shear"

    def units(self) -> dict[str, str]:
        rates = {"D": "Å²/s", "gamma_dot": "1/s"}
        return {
            **rates,
            "D_ref": "Å²/s",
            "gamma_ref": "1/s",
            "t_ref": "s",
            "q": "1/Å",
            "time": "s",
            "time_2": "s",
            "phi": "degree",
        }


def _parts(mode: str, own: Array) -> dict[str, tuple[Array, Array, Array]]:
    diffusion = {"D": (own[0], own[1], own[2])}
    return diffusion if is_static(mode) else {**diffusion, "gamma": (own[3], own[4], own[5])}


def _counted(model: Array, data: Array, weight: Array) -> Array:
    """Weighted residuals; 0 where the data are no numbers."""
    counts = jnp.isfinite(data)
    return jnp.where(counts, (model - jnp.where(counts, data, 0.0)) * weight, 0.0)


def _taken(values: Array, at: Array) -> Array:
    return values.at[at].get(mode=_INSIDE)


def _step(curve: Array, i: Array, j: Array) -> Array:
    """What a curve that never decreases gains from frame i to frame j > i."""
    return _taken(curve, j) - _taken(curve, i)
