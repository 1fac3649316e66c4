"""Real-time speech-to-text over plain HTTP. The architecture is in streaming_flow_explanation.md."""

__version__ = "0.1.0"
