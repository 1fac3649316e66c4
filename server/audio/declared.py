"""What a sender says that its bytes are, beside what they are. Pure."""

from server.audio.formats import MAGIC_BYTES, container_of
from server.audio.signatures import foreign_in, no_audio_in

CONTAINERS = {
    "webm": "WebM",
    "x-matroska": "WebM",
    "ogg": "Ogg",
    "opus": "Ogg",
    "mp4": "MP4",
    "m4a": "MP4",
    "x-m4a": "MP4",
}
CONTAINERS |= {"flac": "FLAC", "x-flac": "FLAC", "quicktime": "MP4", "3gpp": "MP4"}


def refusal_of(head: bytes, declared: str) -> str | None:
    """Why an upload that begins so can't be what its media type says; ``None``: it may be.

    A container that is another one than declared is taken as what it is.
    """
    if refusal := no_audio_in(head):
        return refusal
    container = CONTAINERS.get(declared.rpartition("/")[2])
    if container is None or len(head) < MAGIC_BYTES or container_of(head) or foreign_in(head):
        return None
    return (
        f"Content-Type says {declared}, but these bytes are not the beginning of {container}, nor of anything else "
        "that is known here. Send a recording from its start; of 16-bit PCM say application/octet-stream."
    )
