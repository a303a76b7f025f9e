"""What is fitted: targets, likelihoods, the model with its outputs, and the problem that a manifest sees."""
