"""Blocks as jobs of a cluster's queue, and what all queues share."""
