"""What was measured: tables with their covariances, their readers, and noise for resampling. No JAX."""
