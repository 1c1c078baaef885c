"""Fetch a model's file from the hub: resumed where it broke off, and held against its SHA-256.

The only importer of huggingface_hub. Its own downloader resumes within one call only (each call
writes to a file of its own name), and 20 GB over a home line are rarely one call: so the listing,
the cache, retries, proxies and tokens are its, the partial file and the check are ours.

Settings of huggingface_hub hold: HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN, HF_HOME.
"""

import fcntl
import fnmatch
import io
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, EngineError
from agent.models.catalogue import Entry, catalogue, find
from agent.models.files import family, link, parts
from agent.models.info import inspect, sha256

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Pulled", "Source", "pull", "source_of"]

Progress = Callable[[str, int, int], None]
"""Is told a file's name, the bytes there and the bytes in all."""

_BESIDE = ("mmproj", "mtp-", "imatrix")
"""Files beside a model: picture encoders, draft heads of their own, quantisation statistics."""
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model's file is: a hub repository and a pattern of names in it."""

    repo: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """The file to load (of several: the first). `fetched`: bytes that came over the line now."""

    path: Path
    size: int
    sha256: str | None
    """As published and checked; None where the hub publishes none, and offline."""
    fetched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    name: str
    size: int
    sha256: str | None


def source_of(name: str, quantisation: str | None = None) -> Source:
    """Where `name` is to be had: an entry of the catalogue, or `OWNER/REPOSITORY` on the hub.

    `quantisation` other than the catalogue's (`Q8_0`) changes the pattern. Raises ConfigError.
    """
    entry = find(name)
    if _REPO.fullmatch(name):
        return Source(repo=name, pattern=f"*{quantisation or 'Q4_K_M'}*.gguf")
    if entry is None:
        known = ", ".join(e.name for e in catalogue() if e.repo)
        raise ConfigError(f"the catalogue has no {name!r}", remedy=f"one of {known}; OWNER/REPO")
    if not entry.repo:
        raise ConfigError(f"{entry.title} ships with the package", remedy="agent models use mini")
    return _source(entry, quantisation)


def _source(entry: Entry, quantisation: str | None) -> Source:
    pattern = f"*{quantisation}*.gguf" if quantisation else entry.file
    return Source(repo=entry.repo, pattern=pattern)


def pull(
    source: Source,
    models_dir: Path,
    *,
    progress: Progress = lambda *_: None,
    offline: bool = False,
    endpoint: str | None = None,
) -> Pulled:
    """Bring the file into `models_dir`; nothing is fetched that is there already.

    A file in the hub's own cache is linked, not fetched. Interrupted, the next call goes on where
    this one ended. Raises EngineError: unknown repository or file, no access, no network, no room,
    wrong hash, not a model; the models directory then holds no new file.
    """
    from huggingface_hub import constants

    models_dir.mkdir(parents=True, exist_ok=True)
    if offline or constants.is_offline_mode():
        return _offline(source, models_dir)
    with _told(source):
        wanted = _choose(source, _listing(source, endpoint))
        paths, fetched = [], 0
        _check_room(models_dir, wanted)
        for remote in wanted:
            path, count = _one(source, remote, models_dir, progress, endpoint)
            paths.append(path)
            fetched += count
    info = inspect(paths[0])
    size = sum(remote.size for remote in wanted)
    return Pulled(path=info.path, size=size, sha256=wanted[0].sha256, fetched=fetched)


# --------------------------------------------------------------------------- what there is


def _listing(source: Source, endpoint: str | None) -> Iterator[_Remote]:
    """One request, not tried again: without a network that is said at once."""
    from huggingface_hub import HfApi

    found = HfApi(endpoint=endpoint).model_info(source.repo, files_metadata=True, timeout=30)
    for item in found.siblings or ():
        if item.size is not None:
            hashed = item.lfs.sha256 if item.lfs else None
            yield _Remote(name=item.rfilename, size=item.size, sha256=hashed)


def _choose(source: Source, files: Iterator[_Remote]) -> list[_Remote]:
    """The files of one model: the shortest name that fits, with all its parts."""
    found = [f for f in files if _fits(f.name, source.pattern)]
    if not found:
        raise EngineError(
            f"{source.repo} has no file {source.pattern}",
            remedy="name another quantisation with --quant, such as Q8_0",
        )
    chosen = min(found, key=lambda f: (len(family(f.name)), f.name))
    kin = family(chosen.name)
    if kin == chosen.name:
        return [chosen]
    return sorted((f for f in found if family(f.name) == kin), key=lambda f: f.name)


def _fits(name: str, pattern: str) -> bool:
    base = name.rsplit("/", 1)[-1].lower()
    return fnmatch.fnmatchcase(base, pattern.lower()) and not base.startswith(_BESIDE)


def _offline(source: Source, models_dir: Path) -> Pulled:
    """What is here already: in the models directory, or in the hub's cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    here = [p for p in sorted(models_dir.glob("*.gguf")) if _fits(p.name, source.pattern)]
    stem = re.sub(r"(-MTP)?(-GGUF)?$", "", source.repo.rsplit("/", 1)[-1], flags=re.IGNORECASE)
    for path in here:
        if path.name.lower().startswith(stem.lower()) and path.exists():
            return Pulled(path=path, size=path.stat().st_size, sha256=None, fetched=0)
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source.repo, repo_type="model")
    cached = [
        p for p in sorted(folder.glob("snapshots/*/**/*.gguf")) if _fits(p.name, source.pattern)
    ]
    if not cached:
        raise EngineError(
            f"{source.repo} is not on this machine, and the hub may not be asked",
            remedy="unset HF_HUB_OFFLINE and leave out --offline, or: agent models import FILE",
        )
    every = parts(cached[0])
    links = [link(path, models_dir) for path in every]
    size = sum(p.stat().st_size for p in every)
    return Pulled(path=inspect(links[0]).path, size=size, sha256=None, fetched=0)


# --------------------------------------------------------------------------- one file


def _one(
    source: Source, remote: _Remote, models_dir: Path, progress: Progress, endpoint: str | None
) -> tuple[Path, int]:
    from huggingface_hub import try_to_load_from_cache

    path = models_dir / remote.name.rsplit("/", 1)[-1]
    if path.is_file() and path.stat().st_size == remote.size:
        _check_hash(path, remote)
        return path, 0
    if path.exists():
        raise EngineError(
            f"{path} is there with another size", remedy="rename it, or remove it to fetch it anew"
        )
    path.unlink(missing_ok=True)  # a link to what is gone
    cached = try_to_load_from_cache(source.repo, remote.name)
    if isinstance(cached, str) and Path(cached).stat().st_size == remote.size:
        _check_hash(Path(cached), remote)
        return link(Path(cached), models_dir), 0
    partial = models_dir / f".{path.name}.partial"
    fetched = _fetch(source, remote, partial, progress, endpoint)
    _check_hash(partial, remote)
    partial.replace(path)
    return path, fetched


class _Counted(io.BufferedWriter):
    """The partial file; says how far it has come."""

    told: Callable[[int], None]

    def write(self, data: "Buffer", /) -> int:
        n = super().write(data)
        self.told(self.tell())
        return n


def _fetch(
    source: Source, remote: _Remote, partial: Path, progress: Progress, endpoint: str | None
) -> int:
    """Append what is missing of the partial file; bytes fetched."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        build_hf_headers,
        disable_progress_bars,
        enable_progress_bars,
    )

    partial.touch()
    with _Counted(io.FileIO(partial, "r+")) as file:
        _lock(file, remote.name)
        have = file.seek(0, io.SEEK_END)
        if have > remote.size:  # of another version
            have = file.seek(0)
            file.truncate()
        if have == remote.size:
            return 0
        file.told = lambda at: progress(remote.name, at, remote.size)
        file.told(have)
        url = hf_hub_url(source.repo, remote.name, endpoint=endpoint)
        silent = are_progress_bars_disabled()
        disable_progress_bars()
        try:
            http_get(
                url, file, resume_size=have, headers=build_hf_headers(), expected_size=remote.size
            )
        finally:
            if not silent:
                enable_progress_bars()
        return remote.size - have


def _lock(file: io.BufferedWriter, name: str) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EngineError(f"{name} is being fetched by another process") from error


def _check_hash(path: Path, remote: _Remote) -> None:
    if remote.sha256 is None:
        return
    found = sha256(path)
    if found != remote.sha256:
        if path.suffix == ".partial":
            path.unlink()
        raise EngineError(
            f"{remote.name}: SHA-256 is {found[:16]}…, the hub publishes {remote.sha256[:16]}…",
            remedy="the file was damaged on its way, or changed since: remove it and pull again",
        )


def _check_room(models_dir: Path, wanted: Sequence[_Remote]) -> None:
    names = [remote.name.rsplit("/", 1)[-1] for remote in wanted]
    there = [p for n in names for p in (models_dir / n, models_dir / f".{n}.partial") if p.exists()]
    missing = sum(r.size for r in wanted) - sum(p.stat().st_size for p in there)
    free = shutil.disk_usage(models_dir).free
    if missing > free:
        raise EngineError(
            f"{missing / 1e9:.1f} GB are to be fetched, {free / 1e9:.1f} GB are free here",
            remedy=f"make room in {models_dir}",
        )


# --------------------------------------------------------------------------- errors


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """The hub's errors as ours, with what to do."""
    import httpx2
    from huggingface_hub import errors

    again = "run the same command again: it goes on where it ended"
    try:
        yield
    except errors.GatedRepoError as error:
        raise EngineError(
            f"{source.repo} asks you to accept its terms first",
            remedy=f"accept them on the page of {source.repo}, then export HF_TOKEN=…",
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise EngineError(
            f"the hub has no {source.repo}, or it is private",
            remedy="look for the repository's present name: agent models pull OWNER/REPO",
        ) from error
    except errors.HfHubHTTPError as error:
        status: Any = error.response.status_code if error.response is not None else "no"
        raise EngineError(f"{source.repo}: the hub answered {status}", remedy=again) from error
    except (httpx2.HTTPError, OSError) as error:
        raise EngineError(f"{source.repo} cannot be fetched: {error}", remedy=again) from error
