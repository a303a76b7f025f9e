"""Samplers in this process: one sampler, the file that its chain is kept in, and how far it is."""
