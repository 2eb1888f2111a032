"""Queries by example and filters of lists."""
