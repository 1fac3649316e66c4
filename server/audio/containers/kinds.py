"""The containers that are taken apart here, by their names."""

from collections.abc import Callable

from server.audio.containers.demux import Packets, Source
from server.audio.containers.frames import demux_flac, demux_mpeg
from server.audio.containers.mp4 import demux_mp4
from server.audio.containers.ogg import demux_ogg
from server.audio.containers.webm import demux_webm

DEMUXERS: dict[str, Callable[[Source], Packets]] = {
    "WebM": demux_webm,
    "Ogg": demux_ogg,
    "MP4": demux_mp4,
    "FLAC": demux_flac,
    "MP3": demux_mpeg,
    "AAC": demux_mpeg,
}
