"""Decides: what to try, where to run it, when to stop. Importing it does nothing."""
