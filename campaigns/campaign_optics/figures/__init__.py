"""Pictures of fits: signals over steps by recipes, and an image beside its model."""

from campaign_optics.figures.signals import PANELS, draw_panels, signals
from campaign_optics.figures.triptych import triptych

__all__ = ["PANELS", "draw_panels", "signals", "triptych"]
