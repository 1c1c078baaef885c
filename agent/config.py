"""Settings: one frozen object, and where each value came from.

    loaded = load({"local_only": True}, os.environ, Path("."))
    loaded.settings.local_only          -> True
    loaded.origins["local_only"].source -> "flag"

Order: flags > environment > project (`.pointsman.toml`) > user (`config.toml`) > default. The
project's file comes with the repository and is not trusted: it may narrow what the user's file and
the defaults allow, and never widen it; what it asks for beyond that is ignored and reported in
`Loaded.notices`. An unknown key is an error wherever it stands.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import ConfigError
from agent.settings_keys import KEYS, Key, by_env, by_field, by_name

if TYPE_CHECKING:
    from agent.prices import ModelPrice

__all__ = [
    "PROJECT_FILE",
    "Loaded",
    "Origin",
    "Settings",
    "load",
    "masked",
    "price_overrides",
    "read_project",
]

PROJECT_FILE = ".pointsman.toml"
MAX_FILE_BYTES = 256 << 10
# Variables with our prefix that are not settings.
NOT_SETTINGS = ("POINTSMAN_CONTAINERS", "POINTSMAN_DEBUG", "POINTSMAN_SANDBOX_SKIP")
MISSPELLED = 0.8
"""Likeness from which an unknown variable is taken for a misspelled setting, and refused."""

Source = Literal["flag", "env", "project", "user", "default"]
FrontierMode = Literal["auto", "require", "off"]
SandboxTier = Literal["auto", "bwrap", "sandlock", "none"]
KvCache = Literal["auto", "f16", "q8_0"]
Strategy = Literal["auto", "plain", "mtp", "copy", "combined"]
PriceTable = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""(model, ((bucket, dollars per million tokens as a decimal string), …)), …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Money in integer micro-dollars; None: no limit or not set."""

    local_only: bool = False
    frontier: FrontierMode = "auto"
    frontier_model: str = "claude-opus-5-5"
    anthropic_api_key: str | None = field(default=None, repr=False)
    anthropic_base_url: str | None = None
    onprem_url: str | None = None
    onprem_model: str | None = None
    onprem_api_key: str | None = field(default=None, repr=False)
    local_model: str = "mini"
    local_context: int = 16_384
    local_threads: int | None = None
    seed: int | None = None
    temperature: float | None = None
    local_strategy: Strategy = "auto"
    local_kv: KvCache = "auto"
    record_decisions: bool = False
    worker_idle_s: float = 900.0
    max_cost_usd_micro: int | None = 2_000_000
    max_cost_day_usd_micro: int | None = 20_000_000
    max_cost_month_usd_micro: int | None = 200_000_000
    max_steps: int = 12
    max_attempts: int = 2
    max_wall_s: float = 1800.0
    max_tokens: int = 400_000
    workers: int | None = None
    sandbox: SandboxTier = "auto"
    unsandboxed: bool = False
    as_root: bool = False
    test_command: str | None = None
    test_timeout_s: float = 600.0
    per_test_timeout_s: float = 60.0
    zero_token: bool = True
    zero_token_s: float = 120.0
    zero_token_candidates: int = 400
    zero_token_ranker: bool = True
    privacy_local_only: tuple[str, ...] = ()
    privacy_onprem_ok: tuple[str, ...] = ()
    prices: PriceTable = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from. `where`: a flag, a variable, or `file:line`; empty for defaults."""

    source: Source
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings by field, the origin of each field, and what the user should be told."""

    settings: Settings
    origins: Mapping[str, Origin]
    notices: tuple[str, ...] = ()


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    repo_root: Path | None,
    *,
    user_file: Path | None = None,
    trusted: Callable[[bytes], bool] = lambda content: False,
) -> Loaded:
    """Merge every source. `flags` are by field name; None means the flag was not given.

    `trusted` tells whether the user agreed to these bytes of the project file (see agent.trust).
    Raises ConfigError naming file, line, key and the nearest valid key.
    """
    from agent.paths import user_config

    merge = _Merge()
    merge.user(user_file or user_config())
    if repo_root is not None:
        merge.project(repo_root, trusted)
    merge.environment(environ)
    merge.flags(flags)
    settings = replace(Settings(), **merge.values)
    _check(settings)
    return Loaded(
        settings=settings,
        origins=MappingProxyType(
            {f.name: merge.origins.get(f.name, Origin(source="default")) for f in fields(Settings)}
        ),
        notices=tuple(merge.notices),
    )


def price_overrides(table: PriceTable) -> "dict[str, ModelPrice]":
    """Configured prices by model name, for `agent.prices.Prices`.

    A price of zero must be written: without `input` or `output` the row is a ConfigError.
    """
    from agent.prices import ModelPrice

    found: dict[str, ModelPrice] = {}
    for model, buckets in table:
        row = {bucket: Decimal(price) for bucket, price in buckets}
        if "input" not in row or "output" not in row:
            raise ConfigError(f"prices of {model!r} need both input and output")
        found[model] = ModelPrice(**row)
    return found


def masked(value: str | None) -> str:
    """A key as it may be shown: never more than its last four characters."""
    if not value:
        return "not set"
    return f"…{value[-4:]}" if len(value) >= 16 else "set"


def read_project(repo_root: Path) -> bytes | None:
    """The project file's bytes; None if there is none. Raises ConfigError if it is no plain file.

    Opened without following a link and without waiting: a FIFO there must not hang us.
    """
    path = repo_root / PROJECT_FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigError(f"{path}: not a regular file", remedy=f"rm {path}")
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 10} KiB")
    return content


class _Merge:
    """Values, origins and notices while the sources are read, from weakest to strongest."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, Origin] = {}
        self.notices: list[str] = []

    def user(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        for key, value, where in _entries(path, content):
            if not key.in_file:
                raise ConfigError(f"{where}: {key.name} cannot be set in a file", remedy=_how(key))
            self._set(key, _parsed(key, value, where), Origin(source="user", where=where))
            if key.secret and path.stat().st_mode & 0o077:
                self.notices.append(f"{where}: others can read {key.name}: chmod 600 {path}")

    def project(self, root: Path, trusted: Callable[[bytes], bool]) -> None:
        content = read_project(root)
        if content is None:
            return
        agreed = trusted(content)
        for key, raw, where in _entries(root / PROJECT_FILE, content):
            value, refusal = _parsed(key, raw, where), ""
            if key.narrow is not None:
                value = key.narrow(self._current(key), value)
                refusal = "would widen what you allow; ignored"
            elif not (key.trusted and agreed):
                value = None
                refusal = "may not be set by a repository; ignored"
                if key.trusted:
                    refusal = "ignored until you trust it: agent config trust"
            if value is not None:
                self._set(key, value, Origin(source="project", where=where))
            elif self._current(key) != _parsed(key, raw, where):
                self.notices.append(f"{where}: {key.name} {refusal}")

    def environment(self, environ: Mapping[str, str]) -> None:
        known = by_env()
        refused = {key.variable: key for key in KEYS if not key.in_env}
        for name in sorted(environ):
            if name in refused:
                key = refused[name]
                raise ConfigError(f"${name}: {key.name} is for one run only", remedy=_how(key))
            if not name.startswith("POINTSMAN_") or name in known or name in NOT_SETTINGS:
                continue
            if difflib.get_close_matches(name, known, n=1, cutoff=MISSPELLED):
                raise ConfigError(
                    f"unknown variable {name}{nearest(name, known)}", remedy=f"unset {name}"
                )
            # Other programs may use our prefix too; what is like no setting only gets a note.
            self.notices.append(f"${name}: no setting is called so; ignored")
        for key in KEYS:
            chosen = next((v for v in key.variables if environ.get(v)), None)
            if chosen is not None:
                value = _parsed(key, environ[chosen], f"${chosen}")
                self._set(key, value, Origin(source="env", where=chosen))

    def flags(self, flags: Mapping[str, object]) -> None:
        known = by_field()
        for name, value in flags.items():
            if name not in known:
                raise ConfigError(f"unknown setting {name!r}{nearest(name, known)}")
            if value is not None:
                where = known[name].option
                self._set(
                    known[name],
                    _parsed(known[name], value, where),
                    Origin(source="flag", where=where),
                )

    def _current(self, key: Key) -> object:
        return self.values.get(key.field, getattr(_DEFAULTS, key.field))

    def _set(self, key: Key, value: object, origin: Origin) -> None:
        self.values[key.field] = value
        self.origins[key.field] = origin


_DEFAULTS = Settings()


def _check(settings: Settings) -> None:
    if settings.local_only and settings.frontier == "require":
        raise ConfigError(
            "local_only and frontier.mode = require contradict each other",
            remedy="drop --local-only, or set frontier.mode to auto",
        )
    if settings.onprem_url and not settings.onprem_model:
        raise ConfigError(
            "onprem.url is set but onprem.model is not",
            remedy="set onprem.model to a model the endpoint lists under /v1/models",
        )


def _entries(path: Path, content: bytes) -> list[tuple[Key, object, str]]:
    """(key, raw value, `file:line`) in file order. Raises ConfigError for an unknown key."""
    try:
        text = content.decode("utf-8")
        tree = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    known = by_name()
    found = []
    for name, value in _flat(tree, known):
        line = _line_of(text, name)
        where = f"{path}:{line}" if line else str(path)
        if name not in known:
            raise ConfigError(f"{where}: unknown key {name!r}{nearest(name, known)}")
        found.append((known[name], value, where))
    return found


def _flat(
    tree: Mapping[str, object], known: Mapping[str, Key], prefix: str = ""
) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for part, value in tree.items():
        name = prefix + part
        if isinstance(value, dict) and name not in known and value:
            rows += _flat(value, known, f"{name}.")
        else:
            rows.append((name, value))
    return rows


_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_ASSIGN = re.compile(r"\s*([A-Za-z0-9_.\-\"' ]+?)\s*=")


def _line_of(text: str, name: str) -> int | None:
    """The line that sets `name`, or opens its table. tomllib keeps no positions."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _unquoted(header[1])
            if table == name or table.startswith(f"{name}."):
                return number
        elif assign := _ASSIGN.match(line):
            key = _unquoted(assign[1])
            full = f"{table}.{key}" if table else key
            # An inline table sets every name below it on its own line.
            if full == name or name.startswith(f"{full}."):
                return number
    return None


def _unquoted(dotted: str) -> str:
    return re.sub(r"[\"' ]", "", dotted)


def _parsed(key: Key, value: object, where: str) -> object:
    try:
        return key.parse(value)
    except ValueError as error:
        shown = "" if key.secret else f" (got {str(value)[:60]!r})"
        raise ConfigError(f"{where}: {key.name}: {error}{shown}") from error


def nearest(name: str, known: Mapping[str, Key]) -> str:
    """`; did you mean 'x'?`, or nothing when no name is like it."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not near:
        tail = name.rpartition(".")[2]
        near = [k for k in known if k.rpartition(".")[2] == tail][:1]
    return f"; did you mean {near[0]!r}?" if near else ""


def _how(key: Key) -> str:
    return f"use the flag {key.option}" + (f" or ${key.variables[0]}" if key.in_env else "")
