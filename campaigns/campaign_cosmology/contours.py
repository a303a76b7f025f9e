"""The older name of `campaign_cosmology.figures` for contours of posteriors."""

from campaign_cosmology.figures.contours import posterior_contours

__all__ = ["posterior_contours"]
