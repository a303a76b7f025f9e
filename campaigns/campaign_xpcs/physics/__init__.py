"""Pure equations: transport coefficients, shear, the two-time correlation."""
