"""The table of settings: name in the file, field, parser, and what a repository may do to it.

A repository is untrusted. Its file may only narrow: `Narrow` functions return the stricter of the
two values, or None when the repository's value is not stricter.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

__all__ = ["KEYS", "Key", "by_env", "by_field", "by_name"]

Parse = Callable[[object], object]
Narrow = Callable[[object, object], object | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting. `name` is dotted as in TOML; `narrow` None: a repository may not set it."""

    name: str
    field: str
    parse: Parse
    help: str
    narrow: Narrow | None = None
    trusted: bool = False
    """A repository may set it once the user trusts that file's content."""
    env: tuple[str, ...] = ()
    """Variables besides `POINTSMAN_<NAME>`, looked at after it."""
    in_file: bool = True
    in_env: bool = True
    secret: bool = False

    flag: str = ""
    """The command line's name for it, where that is not the field's."""

    @property
    def option(self) -> str:
        return self.flag or "--" + self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        return "POINTSMAN_" + self.name.upper().replace(".", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """Looked at in this order; none where the environment may not set it."""
        return (self.variable, *self.env) if self.in_env else ()


# --------------------------------------------------------------------------- parsers


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a non-empty string")
    return value.strip()


def _url(value: object) -> str:
    url = _text(value).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected a URL that starts with http:// or https://")
    return url


def _integer(low: int) -> Parse:
    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(f"expected a whole number of at least {low}")
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"expected a whole number of at least {low}") from None
        if number < low:
            raise ValueError(f"expected a whole number of at least {low}")
        return number

    return parse


def _seconds(value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise ValueError("expected a number of seconds above 0")
    return number


def _temperature(value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not 0 <= number <= 2:
        raise ValueError("expected a temperature from 0 to 2")
    return number


def _dollars(value: object) -> int | None:
    """Dollars to integer micro-dollars, exactly; `none` means no limit."""
    if value == "none":
        return None
    try:
        amount = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value).lstrip("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount > 10**9:
        raise ValueError('expected an amount of dollars of at least 0, or "none"')
    return int(amount * 1_000_000)


def _one_of(*words: str) -> Parse:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return str(value)

    return parse


def _globs(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v for v in value):
        raise ValueError("expected a list of path patterns")
    return tuple(v.strip() for v in value)


def _prices(value: object) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """`[prices."model-name"] input = 3.0` … in dollars per million tokens."""
    if not isinstance(value, dict):
        raise ValueError('expected a table such as [prices."my-model"] with input and output')
    rows = []
    for model, table in value.items():
        if not isinstance(table, dict):
            raise ValueError(f"expected a table of dollars per million tokens for {model!r}")
        unknown = sorted(set(table) - set(BUCKETS))
        if unknown:
            raise ValueError(f"unknown price {unknown[0]!r}; there are {', '.join(BUCKETS)}")
        rows.append((str(model), tuple((b, _price(table[b])) for b in BUCKETS if b in table)))
    return tuple(rows)


BUCKETS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def _price(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**6:
        raise ValueError("expected a price in dollars per million tokens")
    return str(value)


# --------------------------------------------------------------------------- narrowing


def _on(current: object, proposed: object) -> object | None:
    return True if proposed is True and current is not True else None


def _off(current: object, proposed: object) -> object | None:
    return False if proposed is False and current is not False else None


def _lower(current: object, proposed: object) -> object | None:
    if proposed is None or not isinstance(proposed, (int, float)):
        return None
    return proposed if current is None or proposed < current else None  # type: ignore[operator]


def _union(current: object, proposed: object) -> object | None:
    have = current if isinstance(current, tuple) else ()
    more = proposed if isinstance(proposed, tuple) else ()
    added = tuple(g for g in more if g not in have)
    return (*have, *added) if added else None


def _frontier_off(current: object, proposed: object) -> object | None:
    return "off" if proposed == "off" and current != "off" else None


# --------------------------------------------------------------------------- the table

KEYS: tuple[Key, ...] = (
    Key(name="local_only", field="local_only", parse=_bool, narrow=_on,
        help="nothing leaves this machine"),
    Key(name="frontier.mode", field="frontier", parse=_one_of("auto", "require", "off"),
        narrow=_frontier_off, help="auto: plan there when a key and budget exist"),
    Key(name="frontier.model", field="frontier_model", parse=_text,
        help="model of the paid API"),
    Key(name="anthropic.api_key", field="anthropic_api_key", parse=_text, secret=True,
        env=("ANTHROPIC_API_KEY",), help="key of the paid API"),
    Key(name="anthropic.base_url", field="anthropic_base_url", parse=_url,
        env=("ANTHROPIC_BASE_URL",), help="another address of the paid API"),
    Key(name="onprem.url", field="onprem_url", parse=_url,
        help="OpenAI-compatible endpoint you run"),
    Key(name="onprem.model", field="onprem_model", parse=_text, help="its model"),
    Key(name="onprem.api_key", field="onprem_api_key", parse=_text, secret=True,
        help="its key, if it wants one"),
    Key(name="local.model", field="local_model", parse=_text,
        help="mini, a catalogue name, a GGUF path, or none"),
    Key(name="local.context", field="local_context", parse=_integer(512), narrow=_lower,
        help="tokens of context the local engine allocates"),
    Key(name="local.threads", field="local_threads", parse=_integer(1),
        help="threads of the local engine; unset: physical cores"),
    Key(name="local.strategy", field="local_strategy",
        parse=_one_of("auto", "plain", "mtp", "copy", "combined"),
        help="how the local engine decodes; auto: routed per request, adapted within it"),
    Key(name="local.kv", field="local_kv", parse=_one_of("auto", "f16", "q8_0"),
        help="type of the KV cache; q8_0 halves it; auto: q8_0 where f16 does not fit"),
    Key(name="local.record_decisions", field="record_decisions", parse=_bool,
        help="keep how each answer was decoded, with its token ids: agent route decisions"),
    Key(name="local.idle_s", field="worker_idle_s", parse=_seconds, narrow=_lower,
        help="the engine's worker ends after this long without work"),
    Key(name="budget.run_usd", field="max_cost_usd_micro", parse=_dollars, narrow=_lower,
        flag="--max-cost", help="dollars one run may spend"),
    Key(name="budget.day_usd", field="max_cost_day_usd_micro", parse=_dollars, narrow=_lower,
        help="dollars of one UTC day"),
    Key(name="budget.month_usd", field="max_cost_month_usd_micro", parse=_dollars, narrow=_lower,
        help="dollars of one UTC month"),
    Key(name="limits.steps", field="max_steps", parse=_integer(1), narrow=_lower,
        help="steps of a plan that are carried out"),
    Key(name="limits.attempts", field="max_attempts", parse=_integer(1), narrow=_lower,
        help="attempts at a step before it is escalated"),
    Key(name="limits.wall_s", field="max_wall_s", parse=_seconds, narrow=_lower,
        flag="--max-time", help="seconds one run may take"),
    Key(name="limits.tokens", field="max_tokens", parse=_integer(1), narrow=_lower,
        help="tokens one run may use, in and out"),
    Key(name="sampling.seed", field="seed", parse=_integer(0),
        help="seed of every request to a model; unset: the model's own"),
    Key(name="sampling.temperature", field="temperature", parse=_temperature,
        help="temperature of every request; unset: as the step asks (edits: 0)"),
    Key(name="limits.workers", field="workers", parse=_integer(1), narrow=_lower,
        help="test processes at a time; unset: cores"),
    Key(name="sandbox.tier", field="sandbox", parse=_one_of("auto", "bwrap", "sandlock", "none"),
        help="how commands are confined; none: nothing is executed"),
    Key(name="unsandboxed", field="unsandboxed", parse=_bool, in_file=False, in_env=False,
        help="run commands unconfined (flag of one run only)"),
    Key(name="as_root", field="as_root", parse=_bool, in_file=False,
        help="allow running as root where the user cannot be changed"),
    Key(name="tests.command", field="test_command", parse=_text, trusted=True, flag="--test",
        help="how the tests are run"),
    Key(name="tests.timeout_s", field="test_timeout_s", parse=_seconds, narrow=_lower,
        help="seconds for one run of the tests"),
    Key(name="tests.per_test_timeout_s", field="per_test_timeout_s", parse=_seconds,
        narrow=_lower, help="seconds for one test"),
    Key(name="zero_token.enabled", field="zero_token", parse=_bool, narrow=_off,
        help="search single edits before asking any model"),
    Key(name="zero_token.seconds", field="zero_token_s", parse=_seconds, narrow=_lower,
        help="seconds that search may take"),
    Key(name="zero_token.candidates", field="zero_token_candidates", parse=_integer(0),
        narrow=_lower, help="candidates that search may try"),
    Key(name="zero_token.ranker", field="zero_token_ranker", parse=_bool,
        help="try single edits in the learned order where that saves time"),
    Key(name="privacy.local_only", field="privacy_local_only", parse=_globs, narrow=_union,
        help="paths that never leave this machine"),
    Key(name="privacy.onprem_ok", field="privacy_onprem_ok", parse=_globs, narrow=_union,
        help="paths that may go to your endpoint, not to the paid API"),
    Key(name="prices", field="prices", parse=_prices,
        help="dollars per million tokens, by model"),
)  # fmt: skip


def by_name() -> dict[str, Key]:
    return {key.name: key for key in KEYS}


def by_field() -> dict[str, Key]:
    return {key.field: key for key in KEYS}


def by_env() -> dict[str, Key]:
    return {variable: key for key in KEYS for variable in key.variables}
