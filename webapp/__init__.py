"""The web app: pages and JSON over one catalogue. Imports the core, never torch or transformers."""

from webapp.app import create_app

__all__ = ["create_app"]
