"""Tables with their readers: forcing, observations, parameters of climate models, assessed ranges. No JAX."""
