"""The documented functions by name: thin adapters between dictionaries and the rooms below."""
