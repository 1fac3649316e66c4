"""The cloud engine: Deepgram's live WebSocket."""
