"""Pure equations: the expansion, distances, the sound horizon, recombination. No data, no files."""
