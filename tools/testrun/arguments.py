"""The command line of the framework: the user's options, our selection, and what keeps it calm."""

from pathlib import Path

from tools.types import TestCommand

VALUE_OPTIONS = frozenset(
    "-k -m -c -o -p -n -W -r --rootdir --confcutdir --basetemp --ignore --ignore-glob --deselect "
    "--maxfail --durations --tb --color --junitxml --junit-xml --cov-config --timeout "
    "--import-mode --config-file".split()
)


def framework_arguments(command: TestCommand, root: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments behind `python -m pytest` or `python -m unittest`.

    With `ids`, pytest is pointed at their files; which tests of these run is decided inside.
    """
    args = command.argv[3:]
    if command.kind != "pytest" or not ids:
        return args
    files = dict.fromkeys(test_id.partition("::")[0] for test_id in ids)
    return (*_without_places(args, root), *(name for name in files if (root / name).exists()))


def _without_places(args: tuple[str, ...], root: Path) -> tuple[str, ...]:
    kept: list[str] = []
    for arg in args:
        is_value = bool(kept) and kept[-1] in VALUE_OPTIONS
        place = not arg.startswith("-") and (root / arg.partition("::")[0]).exists()
        if is_value or not place:
            kept.append(arg)
    return tuple(kept)


def pytest_safety(
    args: tuple[str, ...], root: Path, directory: Path
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Options for every run, and those that exist only where a plugin is installed.

    No cache in the copy, one process, no random order, no coverage of their own: it would fight
    ours for the trace function.
    """
    fixed: tuple[str, ...] = (
        "-o",
        f"cache_dir={directory / 'cache'}",
        "--continue-on-collection-errors",
    )
    if not any(arg.startswith("--rootdir") for arg in args):
        fixed = (*fixed, "--rootdir", str(root))
    flags = {
        "xdist": ["-n0"],
        "pytest_randomly": ["-p", "no:randomly"],
        "pytest_cov": ["--no-cov"],
        "pytest_benchmark": ["--benchmark-disable"],
    }
    return fixed, flags
