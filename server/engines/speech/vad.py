"""Voice activity detection: Silero's network, one shared session, one state for each stream.

The network is the ONNX file that ships with faster-whisper; fed in batches of frames it costs about a twentieth of
the same network called frame by frame.
"""

from importlib.resources import files

import numpy as np
import onnxruntime

from server.engines.speech.frames import FRAME_SAMPLES

CONTEXT_SAMPLES = 64


class VoiceActivityDetector:
    """The network, loaded once; safe to be shared by threads."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.log_severity_level = 3
        path = files("faster_whisper") / "assets" / "silero_vad_v6.onnx"
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def stream(self) -> "VadStream":
        return VadStream(self.session)


class VadStream:
    """The network's state along one audio stream."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._hidden = np.zeros((1, 1, 128), np.float32)
        self._cell = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)

    def probabilities(self, pcm: bytes) -> list[float]:
        """Probability of speech in each frame of ``pcm``, a whole number of frames (512 samples, 32 ms)."""
        if not pcm:
            return []
        samples = np.concatenate([self._context, np.frombuffer(pcm, "<i2").astype(np.float32) / 32768])
        self._context = samples[-CONTEXT_SAMPLES:]
        windows = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES + CONTEXT_SAMPLES)[::FRAME_SAMPLES]
        feed = {"input": np.ascontiguousarray(windows), "h": self._hidden, "c": self._cell}
        output, self._hidden, self._cell = self._session.run(None, feed)
        return [float(value) for value in np.ravel(output)]
