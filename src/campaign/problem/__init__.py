"""Problems: what is fitted, sampled or evaluated."""
