"""What is fitted: parameters, options, simulated and measured images, and the problem that a manifest sees."""
