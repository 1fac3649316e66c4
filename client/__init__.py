"""Clients of the service: an SDK (``stt_client``), a command line (``cli``) and a Streamlit app."""
