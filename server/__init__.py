"""Real-time speech-to-text over plain HTTP. See docs/ARCHITECTURE.md."""

import os

__version__ = "0.1.0"

# Before anything imports numpy. Its matrices are small here: threads of its own would only spin, at a quarter of the
# CPU of a second pass.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
