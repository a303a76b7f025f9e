"""Linear models whose residuals come by rows of a table (X | y), in memory or on disk."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from campaign.problem.base import Problem
from campaign.problem.rows import MappedRows
from campaign.space import Parameter, ThetaSpace


def space_of(d: int, initial: float = 0.0) -> ThetaSpace:
    return ThetaSpace(tuple(Parameter(name=f"c{i}", initial=initial) for i in range(d)))


class LinearRows(Problem):
    """r = X θ + bend · sin θ₀ − y; `rows` says where the rows come from."""

    bend: ClassVar[float] = 0.0
    absolute_sigma: ClassVar[bool] = False

    def rows(self, start, size):
        raise NotImplementedError

    def residual_rows(self, theta, start, size):
        return linear_residuals(self.rows(start, size), theta, self.bend)

    def residuals(self, theta):
        return self.residual_rows(theta, jnp.zeros((), jnp.int32), self.n_residuals)


class RowsInMemory(LinearRows):
    space: ThetaSpace = eqx.field(static=True)
    table: jax.Array

    @property
    def n_residuals(self):
        return self.table.shape[0]

    def rows(self, start, size):
        return jax.lax.dynamic_slice_in_dim(self.table, start, size)


class RowsOnDisk(LinearRows):
    space: ThetaSpace = eqx.field(static=True)
    source: MappedRows = eqx.field(static=True)

    @property
    def n_residuals(self):
        return self.source.shape[0]

    def rows(self, start, size):
        return self.source.rows(start, size)


def linear_residuals(table, theta, bend):
    return jnp.sum(table[:, :-1] * theta[None, :], axis=1) + bend * jnp.sin(theta[0]) - table[:, -1]
