"""Runs the tests of a repository with the target's interpreter and reports them one by one."""

from tools.testrun.detect import detect
from tools.testrun.interpreter import target_environment, target_interpreter
from tools.testrun.runner import TestRunner

__all__ = ["TestRunner", "detect", "target_environment", "target_interpreter"]
