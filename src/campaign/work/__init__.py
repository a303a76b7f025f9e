"""What a worker does with a block, from its address to its published records."""
