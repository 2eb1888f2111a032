"""Search and measures on vectors."""
