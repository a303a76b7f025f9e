"""A driver's life: what is next, who does it, and what is left when one dies."""
