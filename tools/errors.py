"""The root of every error Pointsman raises on purpose, and the errors of `tools`.

PointsmanError               exit code
├── EditError                1   an edit that cannot be applied; its text is written for a model
│   ├── UnparseableEdit          the answer does not follow the edit format
│   ├── NoMatch                  the old text is not in the file; the nearest match is quoted
│   ├── AmbiguousMatch           the old text is there more than once
│   └── OutOfScope               the file or symbol is not in the plan, or is a protected test
├── ConflictError            1   a file changed underneath us; nothing was written
├── RepoError                2   not a repository, bare, unreadable
├── TestCommandError         2   no test command, or it cannot be started
└── SandboxError             5   the sandbox could not be built; never shown to a model as a failure
"""

from typing import ClassVar


class PointsmanError(Exception):
    """What is wrong, where, and what to do next.

    `remedy` is one sentence or one command; the CLI prints it on a line of its own.
    """

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class EditError(PointsmanError):
    """An edit was refused. `str(error)` is addressed to the model that wrote the edit."""

    exit_code = 1


class UnparseableEdit(EditError):
    """The answer does not follow the edit format."""


class NoMatch(EditError):
    """The text to be replaced is not in the file."""


class AmbiguousMatch(EditError):
    """The text to be replaced occurs more than once."""


class OutOfScope(EditError):
    """The edit touches what the plan does not cover."""


class ConflictError(PointsmanError):
    """A file is not what it was when we read it. Nothing was written."""

    exit_code = 1


class RepoError(PointsmanError):
    """The directory cannot be worked on."""

    exit_code = 2


class TestCommandError(PointsmanError):
    """There is no test command, or it cannot be started."""

    __test__ = False  # pytest would collect it by its name
    exit_code = 2


class SandboxError(PointsmanError):
    """The sandbox could not run the command: infrastructure, never a test failure."""

    exit_code = 5
