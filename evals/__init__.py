"""SWE-bench-style evaluation of Pointsman: datasets, runner, grading, report."""
