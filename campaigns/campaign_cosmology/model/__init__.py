"""What is fitted: the options of a manifest, parameters, data blocks, the problem, and chi2 with what minimises it."""
