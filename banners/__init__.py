"""The core of Steam CLIP: images to vectors to neighbours, and the files between them. Knows nothing of the web."""

import os

# ONNX Runtime, Ray and Hugging Face's hub report to their makers, unless told not to before they are imported.
os.environ.update(ORT_DISABLE_TELEMETRY="1", RAY_USAGE_STATS_ENABLED="0", HF_HUB_DISABLE_TELEMETRY="1")
