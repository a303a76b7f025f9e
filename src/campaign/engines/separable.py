"""Which free parameters of a target are linear, in groups, and the target of the others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.errors import InvalidValue
from campaign.problem.target import Target

_HINT = "`trf` fits it with all parameters alike"


@dataclass(frozen=True, slots=True)
class Split:
    """Positions in the free theta of a target.

    Attributes:
        nonlinear: p parameters that a search moves in.
        linear: K groups of m parameters; the k-th changes the k-th of K equal stretches of the residuals, linearly.
        stretch: residuals of a group.
    """

    nonlinear: tuple[int, ...]
    linear: tuple[tuple[int, ...], ...]
    stretch: int

    @property
    def n_groups(self) -> int:
        return len(self.linear)

    @property
    def width(self) -> int:
        """m, the linear parameters of a group."""
        return len(self.linear[0])

    def apart(self, x: Float[Array, " d"]) -> tuple[Float[Array, " p"], Float[Array, "K m"]]:
        """Nonlinear and linear coordinates."""
        return x[np.array(self.nonlinear)], x[np.array(self.linear)]

    def together(self, u: Float[Array, " p"], c: Float[Array, "K m"]) -> Float[Array, " d"]:
        """The coordinates of all free parameters."""
        both = jnp.concatenate([u, c.ravel()])
        return both[np.argsort(np.concatenate([self.nonlinear, np.ravel(self.linear)]))]

    def bounds(self, target: Target) -> tuple[Float[Array, "K m"], Float[Array, "K m"]] | None:
        """Bounds of the linear parameters; None where there are none."""
        where, space = np.array(self.linear), target.space
        lower, upper = space.lower[where], space.upper[where]
        if not (np.isfinite(lower).any() or np.isfinite(upper).any()):
            return None
        return jnp.asarray(lower, target.base.dtype), jnp.asarray(upper, target.base.dtype)

    def reduced(self, target: Target) -> Target:
        """The target of the nonlinear parameters: what is known of them; its residuals are not to be asked for."""
        names = target.space.names
        return dataclasses.replace(
            target,
            scale=target.scale[np.array(self.nonlinear)],
            free_names=tuple(names[i] for i in self.nonlinear),
            n_eliminated=self.n_groups * self.width,
        )


def split_of(target: Target, engine: str) -> Split:
    """Which free parameters are linear: those that the problem's `linear` says, without the fixed ones.

    Raises:
        InvalidValue: none is, or nothing else is free, or the groups are not alike.
    """
    place = {name: i for i, name in enumerate(target.space.names)}

    def refuse(what: str, hint: str = _HINT) -> InvalidValue:
        return InvalidValue(f"engine `{engine}` on `{target.name}`: {what}", hint=hint)

    if not target.has_residuals:
        raise refuse("the problem has no residuals", "give it a `residuals` method")
    groups = target.problem.linear()
    if not groups:
        raise refuse("the problem does not say which parameters are linear", f"give it `linear`; {_HINT}")
    _check_names(groups, target, refuse)
    free = [tuple(name in place for name in group) for group in groups]
    for group, own in zip(groups, free, strict=True):
        if own != free[0]:
            raise refuse(
                f"group {_listed(groups[0])} has {sum(free[0])} free parameters, and {_listed(group)} has others free",
                "free or fix the same ones of every group",
            )
    linear = tuple(tuple(place[name] for name in group if name in place) for group in groups)
    if not linear[0]:
        raise refuse("all linear parameters are fixed: nothing is left to eliminate")
    taken = {i for group in linear for i in group}
    nonlinear = tuple(i for i in range(len(place)) if i not in taken)
    if not nonlinear:
        raise refuse("only linear parameters are free")
    for i in sorted(taken):
        if (parameter := target.space.parameters[i]).transform != "identity":
            raise refuse(f"the linear `{parameter.name}` has the transform `{parameter.transform}`", "leave it out")
    if target.coordinates is not None:
        raise refuse("it works in the parameters' own coordinates only")
    n = target.n_residuals
    if n % len(groups):
        raise refuse(f"{n} residuals are not {len(groups)} stretches of equal length, one a group")
    return Split(nonlinear, linear, n // len(groups))


def _check_names(groups: tuple[tuple[str, ...], ...], target: Target, refuse) -> None:
    known, seen = set(target.problem.space.names), set[str]()
    for group in groups:
        if len(group) != len(groups[0]):
            raise refuse(f"groups of `linear` have different lengths: {_listed(groups[0])} and {_listed(group)}")
        for name in group:
            if name not in known:
                raise refuse(f"`linear` names `{name}`, which is no parameter", "valid: " + ", ".join(sorted(known)))
            if name in seen:
                raise refuse(f"`linear` names `{name}` twice", "a parameter belongs to one group")
            seen.add(name)


def _listed(group: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"`{name}`" for name in group) + ")"
