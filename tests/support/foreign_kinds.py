"""Formats that FFmpeg takes apart, made of the Korean sample."""

from functools import cache

from tests.support.recordings import recording

FOREIGN = {
    "aiff": ("pcm_s16be", "aiff", 16_000),
    "aifc": ("pcm_alaw", "aiff", 8_000),
    "au": ("pcm_s16be", "au", 16_000),
    "au mu-law": ("pcm_mulaw", "au", 8_000),
    "caf": ("pcm_s16le", "caf", 16_000),
    "amr": ("libopencore_amrnb", "amr", 8_000),
    "w64": ("pcm_s16le", "w64", 16_000),
    "wma": ("wmav2", "asf", 44_100),
    "flv aac": ("aac", "flv", 44_100),
    "flv mp3": ("libmp3lame", "flv", 44_100),
    "mpegts aac": ("aac", "mpegts", 44_100),
    "mpegts mp2": ("mp2", "mpegts", 44_100),
    "mpegts ac3": ("ac3", "mpegts", 48_000),
    "mpeg": ("mp2", "mpeg", 44_100),
    "mp2": ("mp2", "mp2", 44_100),
    "ac3": ("ac3", "ac3", 48_000),
    "eac3": ("eac3", "eac3", 48_000),
    "latm": ("aac", "latm", 44_100),
    "avi": ("pcm_s16le", "avi", 16_000),
    "avi mp3": ("libmp3lame", "avi", 44_100),
    "tta": ("tta", "tta", 16_000),
    "voc": ("pcm_u8", "voc", 8_000),
    "rm": ("ac3", "rm", 44_100),
    "nut": ("pcm_s16le", "nut", 16_000),
    "wav ima adpcm": ("adpcm_ima_wav", "wav", 8_000),
    "wav ms adpcm": ("adpcm_ms", "wav", 8_000),
    "wav g722": ("g722", "wav", 16_000),
    "wav g726": ("g726", "wav", 8_000),
    "wav mp3": ("libmp3lame", "wav", 44_100),
    "wav 64-bit floats": ("pcm_f64le", "wav", 16_000),
    "mp4 alac, index last": ("alac", "ipod", 44_100),
    "mp4 ac3, index last": ("ac3", "mp4", 48_000),
    "3gp amr, index last": ("libopencore_amrnb", "3gp", 8_000),
    "m4a, index last": ("aac", "ipod", 44_100),
    "matroska ac3": ("ac3", "matroska", 48_000),
    "matroska mp2": ("mp2", "matroska", 44_100),
    "matroska alac": ("alac", "matroska", 44_100),
}
"""FFmpeg's names of encoder and muxer, and the sample rate."""
REFUSED = {
    "wavpack": ("wavpack", "wv", 16_000, "WavPack"),
    "caf alac": ("alac", "caf", 44_100, "CAF"),
    "mov pcm": ("pcm_s16le", "mov", 16_000, "PCM"),
    "matroska tta": ("tta", "matroska", 16_000, "A_TTA1"),
}
"""The same, and what the refusal names."""


@cache
def foreign(name: str) -> bytes:
    encoder, muxer, rate = (FOREIGN | {key: value[:3] for key, value in REFUSED.items()})[name]
    options = ("b", "64000") if encoder == "wmav2" else ()
    return recording(encoder, muxer, rate, encoder=options)
