"""Recordings as browsers, cameras and phones make them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

from server.engines.base import SAMPLE_RATE
from tests.support.servers import KOREAN_WAV


def recording(
    codec: str,
    form: str,
    rate: int = 48_000,
    channels: int = 1,
    *,
    pcm: bytes = b"",
    picture: str = "",
    encoder: Sequence[str] = (),
    muxer: Mapping[str, str] | None = None,
) -> bytes:
    """PCM (the Korean sample unless given) in a container. ``picture``: the codec of a video track beside it."""
    layout = "stereo" if channels == 2 else "mono"
    source = av.AudioFrame.from_ndarray(np.frombuffer(pcm or korean(), "<i2")[None, :], "s16", "mono")
    source.sample_rate = SAMPLE_RATE
    with (
        TemporaryDirectory() as folder,
        av.open(f"{folder}/recording", "w", format=form, options=dict(muxer or {})) as container,
    ):
        video: Any = container.add_stream(picture, rate=10, width=32, height=32, pix_fmt="yuv420p") if picture else None
        stream: Any = container.add_stream(codec, rate=rate, layout=layout, options=dict(pairs(encoder)))
        stream.codec_context.open(strict=False)
        frame_size = stream.codec_context.frame_size or rate // 50
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, frame_size)
        packets = [
            packet for frame in (source, None) for part in resampler.resample(frame) for packet in stream.encode(part)
        ]
        if video:
            packets += [packet for frame in pictures() for packet in video.encode(frame)] + video.encode(None)
        packets += stream.encode(None)
        packets.sort(key=lambda packet: float((packet.dts or 0) * packet.time_base))
        for packet in filter(lambda packet: packet.size, packets):
            container.mux(packet)
        container.close()
        return Path(folder, "recording").read_bytes()


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(words[::2], words[1::2], strict=True)


def pictures() -> Iterator[av.VideoFrame]:
    for index in range(30):
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index * 8, np.uint8), "rgb24").reformat(
            format="yuv420p"
        )
        frame.pts = index
        yield frame


@cache
def korean() -> bytes:
    with av.open(str(KOREAN_WAV)) as wav:
        return b"".join(np.asarray(frame.to_ndarray(), "<i2").tobytes() for frame in wav.decode(audio=0))


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "250000"}
NO_NOISE = ("aac_pns", "0")
"""A decoder of AAC makes up noise: with it no two of them give the same samples."""
