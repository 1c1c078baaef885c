"""`python -m evals.demo`: a real fix in a bundled example repository, offline, with no key."""
