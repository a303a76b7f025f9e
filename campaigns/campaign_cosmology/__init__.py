"""Cosmology: ΛCDM and PBUF background fits."""
