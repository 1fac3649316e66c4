"""What a checkpoint's prelude says besides the header of a container. Pure.

Empty: the upload begins here, or these are samples without a header.
"""

NEW_FILE = b"\0file\0"
"""Another file begins at the checkpoint: what it is, its bytes tell."""
FOREIGN = b"\0ffmpeg\0"


def foreign_prelude(name: str, form: str, header: bytes) -> bytes:
    """Of a format that FFmpeg takes apart: what people call it, what FFmpeg calls it, and its header."""
    return FOREIGN + f"{name}\0{form}\0".encode() + header


def foreign_of(prelude: bytes) -> tuple[str, str, bytes] | None:
    """Name, FFmpeg's name and header; ``None`` if the prelude is no such one."""
    if not prelude.startswith(FOREIGN):
        return None
    name, form, header = prelude[len(FOREIGN) :].split(b"\0", 2)
    return name.decode(), form.decode(), header


WAV = b"\0wav\0"


def wav_prelude(file_start: int, header: bytes) -> bytes:
    """Of a WAV that begins at this byte of the upload."""
    return WAV + file_start.to_bytes(8, "big") + header


def wav_of(prelude: bytes) -> tuple[int, bytes] | None:
    """Byte that the WAV begins at, and its header; ``None`` if the prelude is no such one."""
    if not prelude.startswith(WAV):
        return None
    at = len(WAV)
    return int.from_bytes(prelude[at : at + 8], "big"), prelude[at + 8 :]
