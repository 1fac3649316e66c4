"""What bytes are, as far as they say so themselves: files that FFmpeg reads, files that are no audio, text. Pure."""

import re

import numpy as np

TEXT_BYTES = 256
"""So much text is text; less of it may still turn out to be samples."""
SMOOTH_BYTES = 512
QUIET = 2_048
"""A root mean square of samples below it: bytes of compressed audio are as loud as noise."""
SMOOTH = 0.8
"""Mean step between samples that are neighbours, over their mean size. White noise has 1.4, speech 0.1 to 0.5."""
WAY_OUT = "Send the bytes of an audio or video file, or 16-bit little-endian PCM."
CONVERT = "Convert it before: ffmpeg -i INPUT -ar 16000 -ac 1 output.wav"

FOREIGN = (
    (re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL), "AIFF", "aiff"),
    (re.compile(rb"\.snd\x00\x00", re.DOTALL), "AU", "au"),
    (re.compile(rb"caff\x00", re.DOTALL), "CAF", "caf"),
    (re.compile(rb"#!AMR"), "AMR", "amr"),
    (re.compile(rb"riff\x2e\x91\xcf\x11"), "W64", "w64"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), "WMA (ASF)", "asf"),
    (re.compile(rb"FLV\x01"), "FLV", "flv"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "AVI", "avi"),
    (re.compile(rb"\x00\x00\x01\xba"), "MPEG-PS", "mpeg"),
    (re.compile(rb"G.{187}G.{187}G", re.DOTALL), "MPEG-TS", "mpegts"),
    (re.compile(rb"wvpk"), "WavPack", "wv"),
    (re.compile(rb"TTA1"), "TTA", "tta"),
    (re.compile(rb"MAC \x96\x0f"), "Monkey's Audio", "ape"),
    (re.compile(rb"\.RMF\x00"), "RealMedia", "rm"),
    (re.compile(rb"Creative Voice File"), "VOC", "voc"),
)
"""Pattern of the first bytes, the name that people know, FFmpeg's name of the demuxer."""

NO_AUDIO = (
    (b"PK\3\4", "a ZIP archive", "Unpack it before."),
    (b"\x1f\x8b\x08", "gzip", "Unpack it before."),
    (b"BZh", "bzip2", "Unpack it before."),
    (b"\xfd7zXZ\0", "xz", "Unpack it before."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it before."),
    (b"Rar!\x1a", "a RAR archive", "Unpack it before."),
    (b"\x89PNG\r\n", "a PNG picture", ""),
    (b"\xff\xd8\xff\xe0", "a JPEG picture", ""),
    (b"\xff\xd8\xff\xe1", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"%PDF-", "a PDF document", ""),
    (b"MThd\0\0\0\6", "MIDI", "It holds notes and no sound."),
    (b"\x7fELF", "a program", ""),
    (b"SQLite format 3\0", "an SQLite database", ""),
)
"""First bytes, what they are, and what to do besides."""

TEXTS = (
    (re.compile(r"<!doctype html|<html|<head|<body", re.IGNORECASE), "HTML", "It may be the page of an error."),
    (re.compile(r"<\?xml|<svg", re.IGNORECASE), "XML", ""),
    (re.compile(r"#EXTM3U"), "a playlist (M3U)", "Send what it points to."),
    (re.compile(r"data:[^,]{0,100},"), "a data URL", "Send it as audio_data in JSON, or decode it before."),
    (
        re.compile(r"--[^\r\n]{1,100}\r?\nContent-", re.IGNORECASE),
        "a multipart form",
        "Say so: Content-Type: multipart/form-data; boundary=…",
    ),
    (re.compile(r"\s*[\[{]"), "JSON", "Say so: Content-Type: application/json, with the base64 of the audio in it."),
    (
        re.compile(r"[A-Za-z0-9+/_=\-\s]{64,}\Z"),
        "base64 text",
        "Decode it before, or send it as audio_data in JSON.",
    ),
)
BEGINNINGS = re.compile(
    rb"\x1a\x45\xdf\xa3(?:[\x80-\xff]|\x01.{7})\x42[\x82\x86\xf2\xf3]"
    rb"|OggS\x00\x02.{20}\x01"
    rb"|....ftyp[ -~]{4}"
    rb"|(?:RIFF|RF64).{4}WAVEfmt "
    rb"|fLaC[\x00\x80]\x00\x00\x22"
    rb"|FORM.{4}AIF[FC]"
    rb"|#!AMR(?:-WB)?\n"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11"
    rb"|caff\x00\x01\x00\x00",
    re.DOTALL,
)
"""Where another file begins in the middle of an upload: patterns that are never met by chance."""
LONGEST_BEGINNING = 28


def foreign_in(head: bytes) -> tuple[str, str] | None:
    """Name and FFmpeg's name of a format that FFmpeg takes apart."""
    return next(((name, form) for pattern, name, form in FOREIGN if pattern.match(head)), None)


def no_audio_in(head: bytes, *, ended: bool = False) -> str | None:
    """A sentence about bytes that are certainly no audio, and what to do. ``ended``: nothing comes behind ``head``."""
    for magic, name, advice in NO_AUDIO:
        if head.startswith(magic):
            return _refusal(name, advice)
    if len(head) < TEXT_BYTES and not (ended and len(head) >= 16):
        return None
    text = text_in(head)
    if text is None:
        return None
    name, advice = next(((name, advice) for pattern, name, advice in TEXTS if pattern.match(text)), ("text", ""))
    return _refusal(name, advice)


def _refusal(name: str, advice: str) -> str:
    return " ".join(part for part in (f"This is {name}, no audio.", advice, WAY_OUT) if part)


def text_in(head: bytes) -> str | None:
    """The text that ``head`` is; ``None``: it is none. Its last character may be cut."""
    if any(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head[:64]):
        return None
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        printable = sum(each.isprintable() or each in "\t\r\n\f" for each in text)
        return text.lstrip() if text and printable >= 0.98 * len(text) else None
    return None


def like_pcm(head: bytes) -> bool:
    """Whether these bytes are 16-bit little-endian samples rather than bytes of something compressed."""
    samples = np.frombuffer(head[: len(head) // 2 * 2], "<i2").astype(float)
    if len(samples) < 8:
        return False
    if np.sqrt(np.mean(samples**2)) < QUIET:
        return True
    size = np.mean(np.abs(samples))
    return bool(any(np.mean(np.abs(samples[lag:] - samples[:-lag])) < SMOOTH * size for lag in (1, 2)))


def has_magic(head: bytes) -> bool:
    """Whether it begins with letters, as the magic numbers of many formats do."""
    return all(32 <= byte < 127 for byte in head[:4])


LOST = "begins in the middle: its beginning, which tells how it is coded, is missing. Send a recording from its start."


def without_beginning(head: bytes) -> str | None:
    """A sentence about a container whose first bytes are missing."""
    if re.search(rb"\x1f\x43\xb6\x75.{1,8}\xe7[\x81-\x88]", head, re.DOTALL) or _blocks_in(head):
        return f"This WebM {LOST}"
    if re.search(rb"OggS\x00[\x00-\x07]", head):
        return f"This Ogg {LOST}"
    if re.search(rb"moof\x00\x00\x00.mfhd", head, re.DOTALL):
        return f"This MP4 {LOST}"
    return None


def _blocks_in(head: bytes) -> bool:
    """Three blocks of a WebM, each behind the one before."""
    for found in re.finditer(rb"\xa3[\x40-\xff]", head):
        at, blocks = found.start(), 0
        while at + 6 < len(head) and head[at] == 0xA3 and blocks < 3:
            wide = head[at + 1] < 0x80
            size = (head[at + 1] & 0x3F) << 8 | head[at + 2] if wide else head[at + 1] & 0x7F
            if head[at + 2 + wide] & 0xF0 != 0x80 or size < 4:
                break
            at, blocks = at + 2 + wide + size, blocks + 1
        if blocks >= 3:
            return True
    return False


MAGICS = (b"RIFF", b"RF64", b"OggS", b"\x1a\x45\xdf\xa3", b"fLaC", b"FORM", b"#!AM", b"\x30\x26\xb2\x75", b"caff")


def may_begin(data: bytes) -> int:
    """Up to where ``data`` can be told to hold no beginning of another file: in its last bytes one may have begun."""
    tail = max(0, len(data) - LONGEST_BEGINNING)
    found = [data.find(magic, tail) for magic in MAGICS]
    found += [data.find(b"ftyp", tail) - 4]
    for magic in (*MAGICS, b"ftyp"):
        lead = 4 if magic == b"ftyp" else 0
        found += [len(data) - size - lead for size in (1, 2, 3) if data.endswith(magic[:size])]
    return min((at for at in found if at >= tail), default=len(data))
