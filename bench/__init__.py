"""The same work measured against a bare server, as ratios taken in one run."""
