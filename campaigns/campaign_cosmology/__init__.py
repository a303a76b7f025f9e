"""Cosmology: ΛCDM and PBUF background fits against CMB distance priors, BAO and supernovae.

`campaign_cosmology.plugin:COSMOLOGY` is what `campaign` loads; it imports no JAX.
"""
