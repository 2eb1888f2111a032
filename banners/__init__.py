"""The core of Steam CLIP: images to vectors to neighbours, and the files between them. Knows nothing of the web."""
