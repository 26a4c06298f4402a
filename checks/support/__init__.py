"""The cast of the tests, and the servers they use."""
