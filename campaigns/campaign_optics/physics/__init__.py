"""Pure equations of a telescope that looks at a binary star."""
