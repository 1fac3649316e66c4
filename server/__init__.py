"""Real-time speech-to-text over plain HTTP. See docs/ARCHITECTURE.md."""

import os

__version__ = "0.1.0"

# Set before anything imports numpy. Its matrices are small here: more threads would only spin, which costs a quarter of
# the CPU of a second pass.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
