"""Frames: the pieces of audio for each of which the VAD gives a probability of speech. Pure."""

from server.engines.base import SAMPLE_RATE

FRAME_SAMPLES = 512
FRAME_BYTES = FRAME_SAMPLES * 2
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
