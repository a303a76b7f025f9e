"""Pure equations of the two-layer energy balance model. JAX."""
