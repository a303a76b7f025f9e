"""What a problem is: parameters, data and a model, as a PyTree."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from campaign.memory import RowPlan
from campaign.space import ThetaSpace
from campaign.space.index_map import one_block
from campaign.space.transform import Map


class Problem(eqx.Module):
    """Parameters, data and a model.

    A PyTree: its arrays may differ between the runs of a block, everything else defines the program that is compiled.
    Every method takes the whole theta, in the order of `space`, in physical units, and must be pure JAX.

    A problem gives `residuals` (least squares), or overrides `log_likelihood`, or only `predict` (evaluation).

    Attributes:
        space: names, units, bounds, priors, transforms; which parameters are free.
        absolute_sigma: True when residuals are divided by known errors, so that covariances are absolute and
            chi2 means something; False when the noise level is estimated from the residuals.
        is_mean: True when ln L is a mean over the data and not their sum. It can be minimised; curvatures, errors and
            samplers refuse it, because it undercounts what the data say.
    """

    space: eqx.AbstractVar[ThetaSpace]
    absolute_sigma: ClassVar[bool] = True
    is_mean: ClassVar[bool] = False

    @property
    def n_profiled(self) -> int:
        """Nuisance parameters that `residuals` eliminates inside; engines count them in dof, AIC and BIC."""
        return 0

    @property
    def n_masked(self) -> int | Int[Array, ""]:
        """Rows of `residuals` that are always 0, masked or padding: engines do not count them as data."""
        return 0

    @property
    def row_plan(self) -> RowPlan | None:
        """How its rows are held, where that was chosen by what memory is free: runs record strategy and reason."""
        return None

    def linear(self) -> tuple[tuple[str, ...], ...]:
        """Groups of parameters in which the residuals are linear, the others given: r = a(θ) + Σ c_j φ_j(θ).

        All groups have the same length m, the residuals are ``len(groups)`` stretches of equal length, and the
        parameters of a group change its own stretch only, in the order of the groups. The engine `varpro` eliminates
        them. Empty: nothing is said of any.
        """
        return ()

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        """Whitened residuals, shape (N,): (model − data) / error. NaN marks points outside the domain."""
        raise NotImplementedError

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        """ln L(theta) = −½ r·r, up to a constant, unless the problem says otherwise."""
        r = self.residuals(theta)
        return -0.5 * jnp.dot(r, r)

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Named model outputs, for ensembles and plots."""
        return {}

    def coordinates(self) -> dict[str, dict[str, Array]]:
        """Dimensions of the arrays of `predict`, by name and with their values: ``{"signal": {"time": times}}``.

        They name the dimensions of the arrays on disk and become their coordinates, the same for all runs of a program;
        `units` may give their units. What is not named here has dimensions by number.
        """
        return {}

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Named scalars that follow from theta; they go into the summary as ``derived.<name>``."""
        return {}

    def degenerate(self) -> dict[str, str]:
        """Names of `derived` that are 0 wherever the stated model holds, and what it means where one is not.

        A run whose result has one that is not 0 ends as "degenerate", whatever its engine says, and any other that
        ended ok is better: ``{"floored": "the rate is floored at this share of the times"}``.
        """
        return {}

    def truth(self) -> dict[str, Array]:
        """Values from which the data were simulated, by name; they go into the summary as ``truth.<name>``.

        For a parameter, ``init_delta.<name>`` and ``final_delta.<name>`` say how far off the run is there.
        """
        return {}

    def chart(self, space: ThetaSpace, theta: Float[Array, " d"]) -> Map | None:
        """Coordinates for samplers that follow gradients, where the posterior is nearer to a Gaussian than in theta.

        Args:
            space: the free parameters.
            theta: all of them, at the start.

        Returns:
            A map u ↔ theta of the free parameters, without bounds of u, whose values of theta are inside theirs. The
            density in theta stays what it is. None: each parameter by itself.
        """
        return None

    def block(self, name: str) -> str:
        """The family that a parameter, or a vector ``x`` of the parameters ``x[0]``, ``x[1]``, …, belongs to."""
        return one_block(name)

    def units(self) -> dict[str, str]:
        """Units of what `predict` and `derived` name."""
        return {}


def has_residuals(problem: Problem) -> bool:
    """Whether least-squares engines can run this problem."""
    return type(problem).residuals is not Problem.residuals


def has_likelihood(problem: Problem) -> bool:
    """Whether the problem has data to compare with: residuals, or its own likelihood."""
    return has_residuals(problem) or type(problem).log_likelihood is not Problem.log_likelihood


@runtime_checkable
class ChunkedResiduals(Protocol):
    """Optional ability of a problem whose data do not fit in memory at once: residuals by row blocks.

    Attributes:
        n_residuals: N, the length of ``residuals(theta)``; a static int.
    """

    n_residuals: int

    def residual_rows(self, theta: Float[Array, " d"], start: Array, size: int) -> Float[Array, " size"]:
        """``residuals(theta)[start : start + size]`` without computing the rest.

        `start` is traced, `size` is static; callers keep 0 ≤ start ≤ n_residuals − size, so that
        ``jax.lax.dynamic_slice`` on the data never meets an end.
        """
        ...


@runtime_checkable
class LinearColumns(Protocol):
    """Optional further ability of a problem with `ChunkedResiduals` and `linear` whose residuals are equal stretches
    (curves at the same times, maps of the same frames): the columns of its linear parameters, side by side for all
    stretches, so that what these share is computed once.

    Attributes:
        n_stretches: how many stretches, a static int; a group of `Problem.linear` is one or several of them.
    """

    n_stretches: int

    def linear_columns(
        self, theta: Float[Array, " d"], start: Array, size: int
    ) -> tuple[Float[Array, "n_stretches m size"], Float[Array, "n_stretches size"]]:
        """(Φ, a) with ``residuals(theta).reshape(n_stretches, -1)[:, start : start + size]`` = a + Σ_j c_j Φ_j.

        Φ has a column for each parameter of a group, in its order. Neither depends on these parameters.
        `start` is traced, `size` is static; callers keep 0 ≤ start ≤ n_residuals / n_stretches − size.
        """
        ...
