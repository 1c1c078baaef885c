"""`agent eval`: the evaluations, which live in a package above this one.

`agent` must not import `evals`, so it is looked up by name when the command runs.
"""

import argparse
from importlib import import_module
from typing import Any

from agent.cli.common import Parser
from agent.errors import ConfigError

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    _evals().configure(parser, name)


def run(args: argparse.Namespace) -> int:
    code: int = _evals().run(args)
    return code


def _evals() -> Any:
    try:
        return import_module("evals.cli")
    except ModuleNotFoundError as error:
        if error.name not in ("evals", "evals.cli"):
            raise
        raise ConfigError(
            "the evaluations are not part of this installation",
            remedy="pip install 'pointsman[eval]'",
        ) from error
