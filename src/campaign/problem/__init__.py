"""Problems: what is fitted, sampled or evaluated. Importing this package makes float64 JAX's default."""

from campaign.float64 import use_float64

use_float64()
