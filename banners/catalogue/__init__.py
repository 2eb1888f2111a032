"""The catalogue folder: the only contract between the batch programs and the web app."""
