"""Blocks on MPI ranks."""
