"""What the server itself costs, without recognition, beside a bare ASGI app that moves the same bytes.

    python -m benchmarks.gateway --sessions 100

Each session uploads ten chunks of 100 ms a second as base64 in JSON and reads ten events a second. The servers run one
after the other on the same uvicorn, each as a process on a processor of its own; the load comes from this process, on
the others. All figures but the latency are of the server's process alone.
"""

import argparse
import asyncio
import gc
import multiprocessing
import os
import resource
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import uvloop

from benchmarks.gateway_load import CHUNK_SECONDS, HOST, Record, live_sessions
from benchmarks.gateway_server import Name, serve

WARM_SESSIONS = 10
WARM_SECONDS = 2.0
STOP_SECONDS = 15.0
BUSY_LOAD = 0.7
"""Share of its processor above which the load generator may be what is measured."""
KEPT_UP = 0.98
"""Least share of the uploads, answered while more come, with which a server counts as able to carry the load."""
ROW = "{:>8}  {:<5} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}"
HEAD = ROW.format("sessions", "", "CPU ms/s", "per core", "p50 ms", "p99 ms", "KB each", "KB/s out", "errors", "load %")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one server did under one load. ``cpu_ms`` is for a session-second, latencies in ms, ``kb`` for a session.

    ``load_share`` is the share of one processor that the load generator used, ``served_share`` that of the uploads
    that were answered while more came.
    """

    sessions: int
    cpu_ms: float
    p50: float
    p99: float
    kb: float
    read_kb: float
    errors: list[str]
    load_share: float
    served_share: float

    @property
    def sessions_per_core(self) -> float:
        return 1000 / self.cpu_ms

    def row(self, name: Name) -> str:
        numbers = (f"{self.cpu_ms:.2f}", f"{self.sessions_per_core:.0f}", f"{self.p50:.2f}", f"{self.p99:.2f}")
        sizes = (f"{self.kb:.0f}", f"{self.read_kb:.1f}", len(self.errors), f"{self.load_share * 100:.0f}")
        return ROW.format(self.sessions, name, *numbers, *sizes)


@contextmanager
def server_process(name: Name, profile: Path | None) -> Iterator[tuple[int, int]]:
    """The server's process id and port. Where the system can, it gets the last processor, this process the others."""
    core = None
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) > 1:
        core = cores[-1]
    with socket.create_server((HOST, 0), backlog=2048) as listening:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=serve, args=(name, listening, core, profile), name=name)
        process.start()
        if core is not None:
            os.sched_setaffinity(0, set(cores) - {core})
        try:
            assert process.pid is not None
            yield process.pid, listening.getsockname()[1]
        finally:
            if core is not None:
                os.sched_setaffinity(0, set(cores))
            process.terminate()
            process.join(STOP_SECONDS)
            process.kill()


async def measure(pid: int, port: int, count: int, seconds: float) -> Figures:
    """The figures of ``seconds`` with ``count`` sessions, after a warm-up whose sessions have ended."""
    async with live_sessions(port, WARM_SESSIONS, Record()):
        await asyncio.sleep(WARM_SECONDS)
    empty = resident_kb(pid)
    record = Record()
    async with live_sessions(port, count, record):
        await asyncio.sleep(WARM_SECONDS)
        record.latencies.clear()
        record.read_bytes = record.answers = 0
        gc.freeze()
        cpu, own, began = cpu_seconds(pid), own_cpu_seconds(), asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        cpu, own = cpu_seconds(pid) - cpu, own_cpu_seconds() - own
        took = asyncio.get_running_loop().time() - began
        latencies, read_bytes, full = sorted(record.latencies), record.read_bytes, resident_kb(pid)
        served = record.answers * CHUNK_SECONDS
    if not latencies:
        raise RuntimeError(f"no event was read: {record.errors[:3]}")
    return Figures(
        sessions=count,
        cpu_ms=cpu / served * 1000,
        p50=statistics.median(latencies) * 1000,
        p99=latencies[int(len(latencies) * 0.99)] * 1000,
        kb=(full - empty) / count,
        read_kb=read_bytes / served / 1000,
        errors=record.errors,
        load_share=own / took,
        served_share=served / (count * took),
    )


def cpu_seconds(pid: int) -> float:
    """CPU seconds that the process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_kb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1000


def compare(names: list[Name], count: int, seconds: float, profile: Path | None) -> dict[Name, Figures]:
    """Measure the servers one after the other and print a row for each."""
    measured: dict[Name, Figures] = {}
    for name in names:
        with server_process(name, profile if name == "ours" else None) as (pid, port):
            measured[name] = figures = uvloop.run(measure(pid, port, count, seconds))
        print(figures.row(name), flush=True)
        for error in sorted(set(figures.errors))[:5]:
            print(f"          {figures.errors.count(error)} times: {error}")
        if figures.served_share < KEPT_UP:
            print("          the server could not keep up: its latencies grow for as long as this lasts")
        if figures.load_share > BUSY_LOAD:
            print("          the load generator was too busy for these figures to hold")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[100])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the measurement")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts: others use the machine, too")
    parser.add_argument("--only", choices=get_args(Name), help="measure one of the two servers")
    parser.add_argument("--profile", type=Path, help="write a cProfile of our server here; it doubles the cost")
    arguments = parser.parse_args()
    names: list[Name] = [arguments.only] if arguments.only else ["bare", "ours"]
    print(HEAD)
    for count in arguments.sessions:
        rounds = [compare(names, count, arguments.seconds, arguments.profile) for _ in range(arguments.rounds)]
        if len(names) == 2:
            ours, bare = (max(each[name].sessions_per_core for each in rounds) for name in ("ours", "bare"))
            print(f"sessions per core at {count} sessions, ours / bare: {ours / bare:.2f}")


if __name__ == "__main__":
    main()
