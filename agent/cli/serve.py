"""`agent serve`: the router, the gateway and the ledger for other clients, on loopback."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from agent.cli.common import (
    Parser,
    add_json,
    emit,
    find_root,
    load_settings,
    start_directory,
    usd,
)
from agent.cli.work import add_place_options
from agent.sanitize import clean, one_line
from agent.types import Privacy

if TYPE_CHECKING:
    from agent.app import App
    from agent.serve.front.app import Told
    from agent.serve.front.desk import Desk

__all__ = ["configure", "run"]

PORT = 8484


def configure(parser: Parser, name: str) -> None:
    where = parser.add_argument_group("where it listens")
    where.add_argument("--host", default="127.0.0.1", help="a loopback address")
    where.add_argument("--port", type=int, default=PORT, help=f"0: any free one (default {PORT})")
    where.add_argument("--token-file", type=Path, metavar="FILE", help="where the token is kept")
    where.add_argument("--new-token", action="store_true", help="make another token")
    what = parser.add_argument_group("what clients may do")
    what.add_argument(
        "--privacy", choices=get_args(Privacy),
        help="label of all they send (default: the strictest of your privacy settings)",
    )  # fmt: skip
    what.add_argument(
        "--any-model", action="store_true", help="route model names that are not known here"
    )
    what.add_argument(
        "--max-cost", dest="max_cost_usd_micro", metavar="USD",
        help="dollars all clients may spend until the server ends",
    )  # fmt: skip
    add_place_options(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app
    from agent.paths import state_dir
    from agent.serve.front.app import Front
    from agent.serve.front.counting import counter
    from agent.serve.front.run import listen, serve, token
    from agent.trajectory import new_run_id

    start = start_directory(args)
    root = find_root(start)
    app = open_app(load_settings(args, root), root or start)
    app.places.check()
    run_id = new_run_id()
    listener = listen(args.host, args.port)
    file = args.token_file or state_dir() / "serve.token"
    secret, new = token(file, new=args.new_token)
    app.ledger.close_orphans()
    front = Front(
        _desk(args, app, run_id),
        token=secret,
        counter=counter(app.places.local_endpoint),
        tell=lambda told: _tell(args, app, told),
    )
    _announce(args, app, listener.getsockname()[1], file, secret if new else None)
    serve(front, listener)
    _account(args, app, run_id)
    return 0


def _desk(args: argparse.Namespace, app: "App", run_id: str) -> "Desk":
    from agent.serve.front.desk import Desk, Portfolio

    limit = app.settings.max_cost_usd_micro

    def left() -> int | None:
        return None if limit is None else limit - app.ledger.used("run", run_id)

    return Desk(
        Portfolio(
            places=app.places.places,
            policy=app.places.policy(),
            gateway=lambda: app.client_gateway(run_id),
            budget_left=left,
            history=app.ledger.history,
            privacy=args.privacy or _strictest(app),
            strategy=app.settings.local_strategy,
            any_model=args.any_model,
            notice=_say,
        )
    )


def _strictest(app: "App") -> Privacy:
    """Nobody knows which files a client's text is made of: it may be any of those labelled."""
    s = app.settings
    if s.privacy_local_only:
        return "local_only"
    return "onprem_ok" if s.privacy_onprem_ok else "open"


# --------------------------------------------------------------------------- words


def _announce(
    args: argparse.Namespace, app: "App", port: int, file: Path, secret: str | None
) -> None:
    host = f"[{args.host}]" if ":" in args.host else args.host
    url = f"http://{host}:{port}"
    places = app.places.places()
    if args.json:
        models = [p.model for p in places]
        emit({"event": "listening", "url": url, "token_file": str(file), "models": models})
    if args.quiet:
        return
    known = secret or f'"$(cat {file})"'
    lines = [
        f"listening on {url}; Ctrl-C ends it",
        f"  token      in {file}" + (", shown this once:" if secret else ""),
        f"  OpenAI     OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={known}",
        f"  Anthropic  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={known}",
        "  models     auto (the router decides)"
        + "".join(f", {p.model} ({p.location})" for p in places),
    ]
    if not places:
        lines.append("  nothing can answer yet: agent doctor")
    _say(*lines)


def _tell(args: argparse.Namespace, app: "App", told: "Told") -> None:
    """One line for each request, and for what befell the engine outside of any."""
    served = told.served
    _say(*app.places.notices())
    if args.json:
        emit(_record(told))
    if args.quiet:
        return
    clock = time.strftime("%H:%M:%S")
    if served is None:
        _say(f"{clock} {told.dialect} {one_line(told.model, 40)}: {one_line(told.error, 200)}")
        return
    done = served.completion
    used = done.usage
    prompt = used.input + used.cache_read + used.cache_write_5m + used.cache_write_1h
    _say(
        f"{clock} {told.dialect} → {done.location} {done.model}: {prompt:,} + "
        f"{used.output + used.thinking:,} tokens, {told.duration_s:.1f} s, {usd(served.usd_micro)}"
    )


def _record(told: "Told") -> dict[str, object]:
    served = told.served
    made: dict[str, object] = {
        "event": "request",
        "dialect": told.dialect,
        "model": told.model,
        "duration_s": round(told.duration_s, 3),
    }
    if served is None:
        return {**made, "error": told.error}
    done = served.completion
    return {
        **made,
        "location": done.location,
        "answered_by": done.model,
        "usd_micro": served.usd_micro,
        "stop_reason": done.stop_reason,
    }


def _account(args: argparse.Namespace, app: "App", run_id: str) -> None:
    totals = app.ledger.totals(run_id)
    if args.json:
        emit({"event": "stopped", "requests": totals.requests, "usd_micro": totals.usd_micro})
    if not args.quiet:
        _say(
            f"stopped: {totals.requests} requests, {usd(totals.usd_micro)},"
            f" {totals.local_s:.1f} s of local models (agent ledger --by run)"
        )


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{clean(line)}\n" for line in lines))
    sys.stderr.flush()
