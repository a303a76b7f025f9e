"""Two-time correlation maps: what they are, and how they are read and written."""
