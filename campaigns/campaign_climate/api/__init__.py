"""The documented names: models, runners, point estimates, samplers."""
