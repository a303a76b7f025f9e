"""Models that are not JAX: Python functions, programs, servers. All of them go one way.

`evaluator` says what such a model is (a batch of theta in, values or a failure out), `ledger` calls it for the runs of
a block and keeps what failed, `models` gives it to engines as a `Problem`. Behind an evaluator are `server` and
`child` (a Python function in its own process), `program` (an executable) and `http` (UM-Bridge).
"""
