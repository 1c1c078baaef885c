"""The worker process: `python -m agent.serve.worker`. Started by agent.serve.supervise.

Whatever goes wrong here is told by the last lines of the log, which the supervisor quotes.
"""

import argparse
import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import PointsmanError
from agent.serve.supervise import SELF_TEST, STAGE

if TYPE_CHECKING:
    from agent.engine.weights import Weights

__all__ = ["main"]

_QUICK_BYTES = 200 * 2**20
"""Models up to this size are calibrated at once; others when nothing is asked, see idle.py."""


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="agent.serve.worker")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--prefixes", type=Path)
    parser.add_argument("--kv", choices=("auto", "f16", "q8_0"), default="auto")
    parser.add_argument("--plain-cpu", action="store_true", help="without repacked CPU kernels")
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--idle", type=float, default=900.0)
    parser.add_argument("--decisions", type=Path, help="append every decoding decision there")
    parser.add_argument("--queue", type=int, default=8)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Load, test, serve until idle. The exit status is that of the error."""
    args = _arguments(argv)
    os.umask(0o077)
    try:
        asyncio.run(_serve(args))
    except PointsmanError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


async def _serve(args: argparse.Namespace) -> None:
    import uvicorn

    from agent.engine.calibration import calibrate, curve_file, load_costs, store_costs
    from agent.engine.engine import Engine
    from agent.engine.idle import Calibrator
    from agent.engine.replay import Recorder
    from agent.engine.weights import Weights
    from agent.serve.app import Worker
    from agent.serve.runner import Runner

    size = args.model.stat().st_size
    weights = _placed(args) if size >= _QUICK_BYTES else Weights()
    weights = weights if args.kv == "auto" else replace(weights, kv_type=args.kv)
    _stage("loading")
    engine = Engine(
        args.model,
        n_ctx=args.context,
        threads=args.threads,
        weights=weights,
        prefixes=args.prefixes,
        extra_buffers=False if args.plain_cpu else None,
    )
    _stage(SELF_TEST)
    self_test = engine.self_test(tokens=24 if size < _QUICK_BYTES else 8)
    variant = "plain cpu" if args.plain_cpu else ""
    kept = curve_file(args.cache, args.model, engine.session.threads, weights, variant)
    costs = load_costs(kept)
    if costs is None and size < _QUICK_BYTES:
        costs = calibrate(engine.session)
        if costs:
            store_costs(kept, costs)
    if costs:
        engine.costs = costs
    engine.recorder = Recorder(args.decisions) if args.decisions else None
    _stage("serving")
    calibrator = Calibrator(engine, kept, measured=costs is not None)
    runner = Runner(engine, capacity=args.queue, calibrator=calibrator)
    worker = Worker(runner, model=args.model, self_test=self_test)
    runner.start()
    config = uvicorn.Config(
        worker.app, log_level="warning", lifespan="off", access_log=False, ws="none"
    )
    server = uvicorn.Server(config)
    listener = _listen(args.socket)
    inode = args.socket.stat().st_ino
    watcher = asyncio.ensure_future(_until_idle(server, worker, args, inode))
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        if _inode(args.socket) == inode:
            args.socket.unlink()
        runner.stop()


def _stage(name: str) -> None:
    """For the supervisor: in which stage a process was that is no more."""
    sys.stderr.write(f"{STAGE}{name}\n")
    sys.stderr.flush()


def _placed(args: argparse.Namespace) -> "Weights":
    """Layers on the GPU, experts in RAM and KV type, as `agent models fit` judges this machine.

    What does not fit with the whole context is left to llama.cpp, which may still page it in.
    """
    from agent import models, paths
    from agent.engine.weights import Weights

    info = models.inspect(args.model)
    wanted = min(args.context, info.context or args.context)
    machine = models.look(paths.cache_dir())
    kv = None if args.kv == "auto" else args.kv
    fit = models.fit(models.load_of(info), machine, context=wanted, kv=kv)
    if not fit.fits or fit.context < wanted:
        return Weights()
    # Without a card we know of, llama.cpp decides: it may have one of another make.
    layers = fit.gpu_layers if machine.gpus and fit.gpu_layers < info.layers else None
    return Weights(gpu_layers=layers, experts_in_ram=fit.experts_in_ram, kv_type=fit.kv_type)


def _listen(path: Path) -> socket.socket:
    """A Unix socket only we can connect to. A stale one is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


async def _until_idle(server: object, worker: object, args: argparse.Namespace, inode: int) -> None:
    """End the server when nothing was asked for long, or nobody can reach it any more."""
    from agent.serve.app import Worker

    assert isinstance(worker, Worker)
    while worker.idle_s() < args.idle and _inode(args.socket) == inode:
        await asyncio.sleep(min(1.0, args.idle / 4))
    server.should_exit = True  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
