"""The documents say what the code says: nothing is missing from them, nothing in them is made up."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel

from server import main, models
from server.engines.base import Capabilities
from server.engines.deepgram.settings import DeepgramSettings
from server.engines.local.settings import LocalSettings
from server.engines.registry import ENGINES, engine_chain
from server.errors import AudioError, RequestError
from server.models import EventType, SessionConfig
from server.routes.sse import STREAM_HEADERS
from server.routes.usage import info
from server.settings import Settings
from tests.support.documents import INSIDE, NAMES, Block, blocks, english, korean, row_of, rows, section
from tests.support.servers import ROOT

SOURCES = [path for folder in ("server", "client", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
BOTH = pytest.mark.parametrize("read", [english, korean])
FILE = re.compile(r"[\w./]+/[\w./]*|\.?[\w./]+\.(py|md|txt|example)")


# --- pairs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_document_links_to_its_other_language_at_the_top(name: str) -> None:
    file = Path(name).name
    assert f"]({file}.ko.md)" in "".join(english(name).split("\n")[:4])
    assert f"]({file}.md)" in "".join(korean(name).split("\n")[:4])


@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_the_same_in_both_languages(name: str) -> None:
    assert [comparable(each) for each in blocks(english(name))] == [comparable(each) for each in blocks(korean(name))]


def comparable(block: Block) -> list[str]:
    """The block without the words that are translated: texts in diagrams, remarks in trees."""
    words = {"mermaid": ":", "text": "#"}.get(block.language)
    lines = block.code.splitlines()
    return [block.language, *(line.partition(words)[0].rstrip() if words else line for line in lines)]


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_sections(name: str) -> None:
    assert outline(english(name)) == outline(korean(name))


def outline(text: str) -> list[int]:
    """The levels of the headings."""
    return [len(marks) for marks in re.findall(r"^(#+) ", without_blocks(text), re.MULTILINE)]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_relative_links_lead_somewhere(name: str, read: Callable[[str], str]) -> None:
    text = without_blocks(read(name))
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", text)
    assert targets
    folder = (ROOT / name).parent
    for target in targets:
        path, _, anchor = target.partition("#")
        assert not path or (folder / path).exists(), target
        if anchor:
            there = (folder / path).read_text("utf-8") if path else text
            assert anchor in anchors(there), target


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- the guide ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[english, korean], ids=["en", "ko"])
def guide(request: pytest.FixtureRequest) -> str:
    return str(request.param("CLIENT_API_GUIDE"))


def routes() -> list[str]:
    paths = main.app.openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in sorted(methods)]


@pytest.mark.parametrize("route", [*routes(), "GET /docs"])
def test_the_guide_and_the_readme_have_every_route(route: str, guide: str) -> None:
    for text in (guide, english("README"), korean("README")):
        assert f"`{route}`" in text


@pytest.mark.parametrize("field", SessionConfig.model_fields)
def test_the_guide_has_every_field_of_the_configuration_with_its_default(field: str, guide: str) -> None:
    default = json.dumps(SessionConfig.model_fields[field].default)
    assert row_of(guide, f"`{field}`", f"`{default}`")


def bounds() -> Iterator[tuple[str, str]]:
    """The fields that have bounds in numbers, and how the guide writes them."""
    for name, schema in SessionConfig.model_json_schema()["properties"].items():
        for each in schema.get("anyOf", [schema]):
            if "minimum" in each:
                yield name, f"{each['minimum']}–{each['maximum']}"


@pytest.mark.parametrize(("field", "written"), list(bounds()))
def test_the_guide_has_the_bounds_of_the_configuration(field: str, written: str, guide: str) -> None:
    assert written in row_of(guide, f"`{field}`")


@pytest.mark.parametrize(
    "model",
    [
        models.CreateSessionResponse,
        models.AudioUploadRequest,
        models.AudioUploadResponse,
        models.FlushResponse,
        models.SessionResponse,
        models.TranscriptResponse,
        models.StreamingTokenResponse,
    ],
)
def test_the_guide_has_every_field_of_requests_and_answers(model: type[BaseModel], guide: str) -> None:
    for field in model.model_fields:
        assert row_of(guide, f"`{field}`")


@pytest.mark.parametrize("model", [models.SegmentResponse, models.WordResponse])
def test_the_guide_names_every_field_of_a_segment(model: type[BaseModel], guide: str) -> None:
    for field in model.model_fields:
        assert f"`{field}`" in guide


@pytest.mark.parametrize("event_type", EventType)
def test_every_event_type_has_a_section_in_the_guide_and_a_line_in_the_readme(event_type: str, guide: str) -> None:
    assert f"\n#### `{event_type}`\n" in guide
    for text in (english("README"), korean("README")):
        assert f"\n- `{event_type}`" in text


def refusals() -> list[type[RequestError]]:
    def below(error: type[RequestError]) -> Iterator[type[RequestError]]:
        for each in error.__subclasses__():
            yield each
            yield from below(each)

    return list(below(RequestError))


@pytest.mark.parametrize("error", refusals())
def test_the_guide_has_every_refusal_with_its_status(error: type[RequestError], guide: str) -> None:
    assert row_of(guide, str(error.status), f"`{error.code}`")


def constants_given_to(*functions: str) -> set[str]:
    """Every string constant that the server passes to one of these functions."""
    found = set()
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and called(node) in functions:
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return {each for each in found if isinstance(each, str) and each.isidentifier()}


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


EVENT_CODES = sorted({AudioError.code} | constants_given_to("_report", "error_event", "Finding"))
ENDING = ("_end", "partial", "finish_audio", "end_audio", "session_end_event")
REASONS = sorted({AudioError.code} | constants_given_to(*ENDING))


def test_codes_and_reasons_are_found_in_the_code() -> None:
    assert {"engine_restarted", "engine_failover", "engine_failed"} <= set(EVENT_CODES)
    assert {"finished", "idle_timeout", "server_shutdown", "purged"} <= set(REASONS)


@pytest.mark.parametrize("code", EVENT_CODES)
def test_the_guide_has_every_code_of_an_error_event(code: str, guide: str) -> None:
    assert row_of(section(guide, "error"), f"`{code}`")


@pytest.mark.parametrize("reason", REASONS)
def test_the_guide_has_every_reason_of_a_session_end(reason: str, guide: str) -> None:
    assert row_of(section(guide, "session_end"), f"`{reason}`")


def test_the_guide_makes_no_code_or_reason_up(guide: str) -> None:
    codes = {each[0].strip("`") for each in rows(section(guide, "error")) if each[1] in ("`true`", "`false`")}
    assert codes == set(EVENT_CODES)
    table = section(guide, "session_end").rpartition("| --- |")[2]
    assert {each[0].strip("`") for each in rows(table)} == set(REASONS)


NOT_OURS = {"not_found", "method_not_allowed", "internal_error"}
"""Codes of answers that no error class stands behind: those of the framework, and of a mistake."""


def test_the_guide_makes_no_refusal_up(guide: str) -> None:
    table = {
        (int(row[0]), row[1].strip("`")) for row in rows(guide) if re.fullmatch(r"[45]\d\d", row[0]) and len(row) == 5
    }
    assert {(each.status, each.code) for each in refusals()} <= table
    assert {code for _, code in table} - {each.code for each in refusals()} == NOT_OURS


@pytest.mark.parametrize("header", [*STREAM_HEADERS, "Last-Event-ID", "Upload-Offset", "Retry-After"])
def test_the_guide_has_every_header(header: str, guide: str) -> None:
    assert f"`{header}" in guide
    if header in STREAM_HEADERS:
        assert f"`{header}: {STREAM_HEADERS[header]}`" in guide


UNNAMED = {"languages", "interim_results", "word_times"}
"""Capabilities that have a column without a field of the configuration."""


def test_the_guide_has_every_engine_and_what_it_can_do(guide: str) -> None:
    header = next(row for row in rows(guide) if row[0] == "`engine`" and "`diarize`" in row)
    asked = {name.strip("`").removesuffix("_ms") for name in header if name.startswith("`")}
    assert {each.name.removesuffix("_languages") for each in fields(Capabilities)} - UNNAMED <= asked
    for name in ENGINES:
        assert len(row_of(guide, f"`{name}`")) == len(header)


def test_the_guide_has_the_limits_that_the_server_tells(guide: str) -> None:
    for limit in info({"local": Capabilities(frozenset({"ko"}))}, Settings(_env_file=None))["limits"]:
        assert next(row for row in rows(guide) if row[0].endswith("•") and f"`STT_{limit.upper()}`" in row)


# --- settings -------------------------------------------------------------------------------------------------------


ALL_SETTINGS = (Settings, LocalSettings, DeepgramSettings)
FIELDS = {name: field for settings in ALL_SETTINGS for name, field in settings.model_fields.items()}


def variable(name: str) -> str:
    alias = FIELDS[name].validation_alias
    assert not isinstance(alias, AliasChoices | AliasPath)
    return alias or f"STT_{name.upper()}"


def listed_settings() -> dict[str, str]:
    """The lines of ``.env.example``, put into force."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return dict(line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line))


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    assert {name for name in map(variable, FIELDS) if name.startswith("STT_")} == {
        name for name in listed_settings() if name.startswith("STT_")
    }


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    in_force = tmp_path / ".env"
    in_force.write_text("".join(f"{name}={value}\n" for name, value in listed_settings().items()), "utf-8")
    for settings in ALL_SETTINGS:
        example, default = settings(_env_file=in_force), settings(_env_file=None)
        assert example.model_dump(exclude={"engines"}) == default.model_dump(exclude={"engines"})
    assert engine_chain(Settings(_env_file=in_force)) == engine_chain(Settings(_env_file=None))


def test_every_setting_in_the_example_is_explained() -> None:
    before = ""
    for line in (ROOT / ".env.example").read_text("utf-8").splitlines():
        if re.match(r"(# )?[A-Z_]+=", line):
            assert before.startswith("# ") and not before.startswith("# ---"), line
        before = line


@pytest.mark.parametrize("name", NAMES)
@BOTH
def test_every_setting_that_a_document_names_exists(name: str, read: Callable[[str], str]) -> None:
    known = set(map(variable, FIELDS))
    known |= {"STT_URL", "STT_API_KEY"}  # the clients'
    known |= {"STT_CHROMIUM", "STT_SPEECH_DIR", "STT_FIELD_DIR"}  # the tests'
    assert set(re.findall(r"\bSTT_[A-Z_]+\b", read(name))) <= known


# --- inside ---------------------------------------------------------------------------------------------------------


def defined() -> tuple[set[str], set[str]]:
    """Names of all classes, and of all functions (methods also as ``Class.method``)."""
    classes, functions = set(), set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
                functions |= {f"{node.name}.{each.name}" for each in methods}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.add(node.name)
    return classes, functions


def named(text: str) -> set[str]:
    """What a document writes as code, outside of blocks and in its trees."""
    trees = " ".join(re.sub(r"#.*", "", block.code) for block in blocks(text) if block.language == "text")
    return set(re.findall(r"`([^`\n]+)`", without_blocks(text))) | set(re.findall(r"[\w.]+\(\)", trees))


@BOTH
@pytest.mark.parametrize("name", INSIDE)
def test_the_functions_and_classes_that_a_document_names_exist(name: str, read: Callable[[str], str]) -> None:
    classes, functions = defined()
    names = named(read(name))
    called = {each.removesuffix("()") for each in names if re.fullmatch(r"[\w.]+\(\)", each)}
    capitalised = {each for each in names if re.fullmatch(r"[A-Z][a-z]\w+", each)}
    assert len(called) > 20 and len(capitalised) > 10
    assert called - {"engine.open"} <= functions
    assert capitalised - {"None", "EventSource"} <= classes


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_a_document_names_exist(name: str, read: Callable[[str], str]) -> None:
    files = {each for each in named(read(name)) if FILE.fullmatch(each)}
    for file in files - {"page.html"}:
        if not file.startswith("/"):
            assert (ROOT / file).exists(), file


@BOTH
@pytest.mark.parametrize("name", INSIDE)
def test_the_excerpts_in_a_document_are_in_the_code(name: str, read: Callable[[str], str]) -> None:
    lines = {line.strip() for path in SOURCES for line in path.read_text("utf-8").splitlines()}
    excerpts = [each for each in blocks(read(name)) if each.language == "python"]
    assert excerpts
    for excerpt in excerpts:
        assert {line.strip() for line in excerpt.code.splitlines()} <= lines


# --- the readme -----------------------------------------------------------------------------------------------------


@BOTH
def test_the_readme_says_what_each_package_is_for(read: Callable[[str], str]) -> None:
    for package in re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE):
        assert [row for row in rows(read("README")) if f"`{package}`" in row[0]], package


@BOTH
def test_the_files_of_the_project_structure_exist(read: Callable[[str], str]) -> None:
    tree = next(each.code for each in blocks(read("README")) if "├── server/" in each.code)
    folder = ""
    for line in tree.splitlines():
        entries = re.sub(r"#.*", "", line).strip("│├└─ ")
        top = line.startswith(("├", "└"))
        folder = "" if top else folder
        for entry in entries.split(", "):
            assert (ROOT / folder / entry).exists(), f"{folder}{entry}"
        if top and entries.endswith("/"):
            folder = entries


def test_the_changelog_has_the_version() -> None:
    from server import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
