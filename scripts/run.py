"""``make run``: start the server and the Streamlit client, say where to click, stop both on Ctrl-C."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

HOST = os.environ.get("HOST", "127.0.0.1")
DEFAULT_PORT = 8001
SERVER_PORT = int(os.environ.get("PORT", DEFAULT_PORT))
CLIENT_PORT = int(os.environ.get("CLIENT_PORT", "8501"))
START_SECONDS = 300
STOP_SECONDS = 15


class CannotStart(Exception):
    """Said to the user as it is."""


def refuse_taken_ports() -> None:
    for port, variable in ((SERVER_PORT, "PORT"), (CLIENT_PORT, "CLIENT_PORT")):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as exc:
                advice = f"Stop what uses it, or choose another: make run {variable}={port + 100}"
                raise CannotStart(f"Port {port} can't be used ({exc.strerror}). {advice}") from exc


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[Process]:
    """A Python module as a process, stopped at the end. The Streamlit client learns where the server is."""
    host = "127.0.0.1" if HOST == "0.0.0.0" else HOST  # an address to listen at is none to go to
    environment = {"STT_URL": f"http://{host}:{SERVER_PORT}", **os.environ}
    # in a session of its own: Ctrl-C reaches us alone, and we stop one after the other
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, stdin=asyncio.subprocess.DEVNULL, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def answers() -> bool:
    """Whether the server takes sessions."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{SERVER_PORT}/health", timeout=2) as response:
            return bool(json.load(response)["ready"])
    except (OSError, ValueError):
        return False


async def until_ready(server: Process) -> None:
    began = time.monotonic()
    while not await asyncio.to_thread(answers):
        waited = time.monotonic() - began
        if server.returncode is not None:
            raise CannotStart("The server did not start; the lines above say why.")
        if waited > START_SECONDS:
            raise CannotStart(f"The server did not answer within {START_SECONDS} s.")
        print(f"\rLoading the models … {waited:.0f} s", end="", flush=True)
        await asyncio.sleep(0.5)
    print(f"\rThe models are loaded ({time.monotonic() - began:.0f} s).")


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done, and give the others up."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def say_where_to_click() -> None:
    server, client = f"http://localhost:{SERVER_PORT}", f"http://localhost:{CLIENT_PORT}"
    demo = "make demo FILE=samples/ko.wav" + ("" if SERVER_PORT == DEFAULT_PORT else f" PORT={SERVER_PORT}")
    print(
        f"\n  web page    {server}/\n  Streamlit   {client}/\n  API docs    {server}/docs\n\n"
        f"  hear it     {demo}        (in another terminal)\n  stop        Ctrl-C\n"
    )


async def run() -> None:
    refuse_taken_ports()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address = ("--host", HOST, "--port", str(SERVER_PORT))
    async with AsyncExitStack() as started:
        print("Starting the server …")
        server = await started.enter_async_context(running("uvicorn", "server.main:app", *address))
        await first_of(stop.wait(), until_ready(server))
        if stop.is_set():
            return
        client = await started.enter_async_context(
            running("streamlit", "run", "client/streamlit_app.py", "--server.port", str(CLIENT_PORT))
        )
        say_where_to_click()
        await first_of(stop.wait(), server.wait(), client.wait())
        print("\nStopping …")


def main() -> None:
    try:
        asyncio.run(run())
    except* CannotStart as group:
        sys.exit(f"{group.exceptions[0]}")


if __name__ == "__main__":
    main()
