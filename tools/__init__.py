"""Acts on a repository: reads, edits, runs and searches it. Knows no model and no prompt."""
