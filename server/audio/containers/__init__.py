"""Compressed audio: WebM, Ogg, MP4, MP3, AAC and FLAC, decoded as it arrives."""
