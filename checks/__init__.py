"""Short tests by subject, most of them without a server. `tests.py` is the visitor's tour."""
