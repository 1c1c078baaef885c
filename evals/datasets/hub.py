"""Rows from a data set on a hub: its files are fetched into the hub's own cache and read here.

Settings of huggingface_hub hold: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE.
"""

import os
import re
from pathlib import Path, PurePosixPath

from agent.errors import ConfigError
from evals.datasets.rows import SUFFIXES, Loaded, read_rows
from evals.datasets.sources import SourceUnavailable

__all__ = ["HUB_ID", "chosen", "read_hub"]

HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+))?(?:@([\w.-]+))?")
SPLIT = "test"


def read_hub(name: str) -> Loaded:
    """`owner/name[:split][@revision]`; the split is `test` unless told.

    Raises SourceUnavailable when nothing can be fetched, ConfigError when there is no such split.
    """
    match = HUB_ID.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name}: a data set on a hub is owner/name or owner/name:split")
    repo, split, revision = match[1], match[2] or SPLIT, match[3] or "main"
    parts = [read_rows(path) for path in _fetched(repo, split, revision)]
    return Loaded(
        instances=tuple(i for part in parts for i in part.instances),
        rejected=tuple(r for part in parts for r in part.rejected),
    )


def chosen(files: list[str], split: str) -> tuple[str, ...]:
    """The files of a split, as hubs name them: `data/test-00000-of-00002.parquet`, `test.jsonl`.

    Where there are several formats the one we read with least wins. Raises ConfigError naming the
    splits that there are.
    """
    found: dict[str, list[str]] = {}
    splits = set()
    for name in sorted(files):
        pure = PurePosixPath(name)
        if pure.suffix not in SUFFIXES:
            continue
        stem = re.sub(r"-\d{5}-of-\d{5}$", "", pure.stem)
        splits.add(stem)
        if split in (stem, pure.parent.name):
            found.setdefault(pure.suffix, []).append(name)
    for suffix in SUFFIXES:
        if suffix in found:
            return tuple(found[suffix])
    there = ", ".join(sorted(splits)) or "no files of rows"
    raise ConfigError(f"there is no split {split!r}", remedy=f"there are {there}")


def _fetched(repo: str, split: str, revision: str) -> list[Path]:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        api = HfApi(endpoint=endpoint)
        files = api.list_repo_files(repo, repo_type="dataset", revision=revision)
        names = chosen(files, split)
        return [
            Path(
                hf_hub_download(
                    repo, name, repo_type="dataset", revision=revision, endpoint=endpoint
                )
            )
            for name in names
        ]
    except ConfigError as error:
        raise ConfigError(f"{repo}: {error}", remedy=error.remedy) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise SourceUnavailable(
            f"{repo} cannot be fetched: {str(error).strip().splitlines()[0]}",
            remedy="check the name and HF_TOKEN, or give the path of a file of rows",
        ) from error
