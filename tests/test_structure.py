"""The shape of the code: who may import whom, how long things get, and which habits are kept."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import ROOT

SERVER = sorted((ROOT / "server").rglob("*.py"))
CLIENT = sorted((ROOT / "client").rglob("*.py"))
OURS = {"server", "stt_client", "stt_streamlit", "streamlit_app"}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
FOUNDATION = {"server.models", "server.errors", "server.languages", "server.settings"}
VERSION = "server"  # the package itself: its version and nothing else
BROAD_EXCEPTS = {
    "server.stt_service",  # the session barrier
    "server.engines.base",  # an engine that cannot even tell its status
    "server.routes.hot",  # the error handler of the routes that FastAPI does not see
    "server.engines.local.workers",  # nothing is handled there: whoever waits for the result gets it
}
PURE = (
    "server.audio.decoder",
    "server.audio.formats",
    "server.engines.speech.endpointing",
    "server.events",
    "server.languages",
    "server.transcript",
)


def name_of(path: Path) -> str:
    """As it is imported: the clients' packages are installed from ``client/``."""
    base = ROOT / "client" if path.is_relative_to(ROOT / "client") else ROOT
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


TREES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in SERVER + CLIENT}
MODULES = sorted(TREES)


def imports(module: str) -> set[str]:
    """Our own modules that it imports, wherever in the file; ``from server import http`` is ``server.routes.http``."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            base = node.module or ""
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in TREES else base for alias in node.names}
    return {name for name in found if name.split(".")[0] in OURS}


def calls(module: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))


def offenders(check: Iterator[str]) -> list[str]:
    return sorted(set(check))


# --- imports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(FOUNDATION | {VERSION}))
def test_the_foundation_imports_nothing_of_ours(module: str) -> None:
    assert imports(module) == set()


@pytest.mark.parametrize("folder", ["server.engines", "server.session_log"])
def test_an_adapter_knows_its_own_folder_and_the_foundation(folder: str) -> None:
    inside = [module for module in MODULES if module.startswith(f"{folder}.")]
    assert inside
    for module in inside:
        foreign = {each for each in imports(module) - FOUNDATION - {VERSION} if not each.startswith(f"{folder}.")}
        assert not foreign, f"{module} imports {foreign}"


def test_a_port_imports_nothing_but_the_foundation() -> None:
    assert imports("server.engines.base") <= FOUNDATION
    assert imports("server.session_log.base") <= FOUNDATION


def reachable(module: str) -> set[str]:
    found: set[str] = set()
    todo = {module}
    while todo:
        found |= todo
        todo = {each for name in todo for each in imports(name) if each in TREES} - found
    return found


def test_the_halves_meet_only_at_the_log() -> None:
    assert "server.streaming_manager" not in reachable("server.stt_service")
    assert "server.stt_service" not in reachable("server.streaming_manager")


def test_the_http_half_knows_no_engine() -> None:
    engines = {module for module in reachable("server.streaming_manager") if module.startswith("server.engines.")}
    assert engines <= {"server.engines.base"}


def test_the_recognition_half_knows_no_http() -> None:
    known = {
        (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
        for module in reachable("server.stt_service")
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert not known & {"fastapi", "starlette", "uvicorn"}


def test_a_wire_knows_the_manager_and_the_ports() -> None:
    adapters = ("server.engines.", "server.session_log.", "server.recognition.", "server.stt_service")
    for module in (each for each in MODULES if each.startswith("server.routes.")):
        known = {each for each in reachable(module) if each.startswith(adapters)}
        assert known <= {"server.engines.base", "server.session_log.base"}, module


def test_nothing_imports_main() -> None:
    assert not [module for module in MODULES if "server.main" in imports(module)]


KNOWN = {
    "server": {"server"},
    "stt_client": {"stt_client"},
    "stt_streamlit": {"stt_streamlit", "stt_client"},
    "streamlit_app": {"stt_streamlit", "stt_client"},
}


def test_client_and_server_do_not_know_each_other_and_the_sdk_knows_no_app() -> None:
    assert {module.split(".")[0] for module in MODULES} == set(KNOWN)
    for module in MODULES:
        assert {each.split(".")[0] for each in imports(module)} <= KNOWN[module.split(".")[0]], module


def test_the_sdk_needs_nothing_but_httpx() -> None:
    for module in MODULES:
        if module.startswith("stt_client") and not module.startswith("stt_client.cli"):
            foreign = {name.split(".")[0] for name in foreign_imports(module)}
            assert foreign <= {"httpx", "httpx_sse"}, module


def foreign_imports(module: str) -> Iterator[str]:
    for node in ast.walk(TREES[module]):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (each for each in names if each.split(".")[0] not in sys.stdlib_module_names | OURS)


def test_pure_modules_know_no_event_loop() -> None:
    for module in (
        "server.audio.decoder",
        "server.audio.formats",
        "server.events",
        "server.transcript",
        "server.engines.speech.endpointing",
    ):
        source = ast.unparse(TREES[module])
        assert "import asyncio" not in source, module


NATIVE = {"numpy", "vosk", "ctranslate2", "faster_whisper", "kiwipiepy", "onnxruntime", "av"}
WITHOUT_NATIVE_LIBRARY = (
    "server.engines.base",
    *(f"server.engines.local.{name}" for name in ("agreement", "keywords", "phantom", "transcription", "two_pass")),
    *(f"server.engines.speech.{name}" for name in ("endpointing", "frames")),
    *(f"server.engines.deepgram.{name}" for name in ("breaker", "flushing", "messages", "outgoing", "utterances")),
    *(f"server.engines.{name}" for name in ("registry", "local.settings", "deepgram.settings")),
)


@pytest.mark.parametrize("module", WITHOUT_NATIVE_LIBRARY)
def test_a_pure_module_needs_no_native_library(module: str) -> None:
    needed = {
        (name or "").split(".")[0]
        for each in reachable(module)
        for node in ast.walk(TREES[each])
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert not needed & NATIVE


def test_pure_modules_are_imported_where_there_is_no_native_library() -> None:
    program = f"import sys; sys.modules.update(dict.fromkeys({NATIVE!r})); import {', '.join(WITHOUT_NATIVE_LIBRARY)}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


# --- sizes and habits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SERVER + CLIENT, ids=name_of)
def test_a_module_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_MODULE_LINES


def test_a_function_fits_on_a_screen() -> None:
    def too_long() -> Iterator[str]:
        for module in MODULES:
            for node in ast.walk(TREES[module]):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                    if (body[-1].end_lineno or 0) - body[0].lineno + 1 > MAX_FUNCTION_LINES:
                        yield f"{module}.{node.name}"

    assert offenders(too_long()) == []


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [module for module in MODULES if drawers & set(module.split("."))]


def test_only_the_settings_look_at_the_environment() -> None:
    def looking() -> Iterator[str]:
        for module in MODULES:
            # the package itself writes one variable, for numpy, before anything else is imported
            if module not in ("server", "server.settings") and module.startswith("server"):
                for node in ast.walk(TREES[module]):
                    if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                        yield module
                    if isinstance(node, ast.ImportFrom) and node.module in ("os", "dotenv"):
                        yield module

    assert offenders(looking()) == []


def test_hardly_anything_catches_everything() -> None:
    def broad() -> Iterator[str]:
        for module in MODULES:
            for node in ast.walk(TREES[module]):
                if isinstance(node, ast.ExceptHandler):
                    caught = ast.unparse(node.type) if node.type else ""
                    if not caught or re.search(r"\b(Base)?Exception\b", caught):
                        yield module

    assert sorted(broad()) == sorted(BROAD_EXCEPTS)


def test_every_task_has_a_group_that_waits_for_it() -> None:
    def ownerless() -> Iterator[str]:
        for module in MODULES:
            groups = set(task_groups(TREES[module]))
            for call in calls(module):
                called = ast.unparse(call.func)
                owner, _, method = called.rpartition(".")
                if method in ("create_task", "ensure_future") and owner not in groups:
                    yield f"{module}:{call.lineno} {called}"

    assert offenders(ownerless()) == []


def task_groups(tree: ast.Module) -> Iterator[str]:
    """The names that stand for a task group: of ``async with``, an assignment, or an annotation."""
    for node in ast.walk(tree):
        named: list[tuple[ast.AST | None, ast.AST | None]] = []
        if isinstance(node, ast.AsyncWith):
            named = [(item.optional_vars, item.context_expr) for item in node.items]
        elif isinstance(node, ast.Assign):
            named = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign):
            named = [(node.target, node.annotation)]
        elif isinstance(node, ast.arg):
            named = [(ast.Name(node.arg), node.annotation)]
        yield from (ast.unparse(name) for name, what in named if name and what and "TaskGroup" in ast.unparse(what))


def test_recognition_never_looks_at_the_clock() -> None:
    def clocks() -> Iterator[str]:
        for module in MODULES:
            if module.startswith("server.engines.") or module == "server.audio.decoder":
                for call in calls(module):
                    if ast.unparse(call.func) in ("time.time", "datetime.now", "datetime.utcnow"):
                        yield f"{module}:{call.lineno}"

    assert offenders(clocks()) == []


def test_everything_is_annotated() -> None:
    def bare() -> Iterator[str]:
        for module in MODULES:
            for node in ast.walk(TREES[module]):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name == "__init__":
                    continue
                if node.returns is None:
                    yield f"{module}.{node.name}"

    assert offenders(bare()) == []
