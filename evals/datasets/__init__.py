"""Where instances come from: rows in files or on a hub, task directories, and recipes."""

from evals.datasets.instance import Instance
from evals.datasets.recipe import Edit, Recipe, load_recipes
from evals.datasets.rows import load_instances

__all__ = ["Edit", "Instance", "Recipe", "load_instances", "load_recipes"]
