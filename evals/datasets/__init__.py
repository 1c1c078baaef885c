"""Where instances come from: SWE-bench rows in files, and recipes of bugs in real packages."""

from evals.datasets.instance import Instance, load_instances
from evals.datasets.recipe import Edit, Recipe, load_recipes

__all__ = ["Edit", "Instance", "Recipe", "load_instances", "load_recipes"]
