"""Start and scale values against the space of theta."""

from __future__ import annotations

from collections.abc import Callable

from campaign.errors import Diagnostic, nearest
from campaign.space import ThetaSpace


def check_value(
    space: ThetaSpace, kind: str, name: str, low: float, high: float, place: Callable[[str], str]
) -> list[Diagnostic]:
    """What is wrong with values of one parameter.

    Args:
        space: of theta.
        kind: "start": where the parameter allows it; "scale": positive.
        name: of the parameter.
        low, high: the smallest and the largest value.
        place: axis path → place in the manifest.
    """
    path = f"{kind}.{name}"
    if name not in space.names:
        hint = nearest(name, space.names)
        return [Diagnostic(place=place(path), message=f"unknown parameter `{name}`", hint=hint)]
    parameter = space[name]
    if kind == "start" and not (parameter.allows(low) and parameter.allows(high)):
        value = high if parameter.allows(low) else low
        message = f"the start value {name} = {value!r} is {parameter.where_not}"
        return [Diagnostic(place=place(path), message=message, hint=f"valid: {parameter.valid}")]
    if kind == "scale" and not low > 0:
        return [Diagnostic(place=place(path), message=f"the scale {name} = {low!r} is not positive")]
    return []
