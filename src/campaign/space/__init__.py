"""The space of theta: parameters, priors, and the coordinates that engines move in."""

from campaign.space.theta import TRANSFORMS, Parameter, ThetaSpace

__all__ = ["TRANSFORMS", "Parameter", "ThetaSpace"]
