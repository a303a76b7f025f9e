"""What a fit is worth: errors, profiles, resampling, statistics, comparison."""
