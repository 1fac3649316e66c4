"""The parts of the Streamlit app, ``streamlit_app.py`` beside this folder."""
