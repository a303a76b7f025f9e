"""A gang: processes of one machine that share the row blocks of each fit of a block of runs."""
