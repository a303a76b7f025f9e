"""The JSON that a user writes, and the points that it describes."""
