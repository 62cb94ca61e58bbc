"""What really happened in a system, and the rules that it must have kept.

A `History` (records) is read from a database, the sandbox and what upstream heard (postgres), or built by a
simulated world from its own memory. `check` (check) holds every rule against it.
"""
