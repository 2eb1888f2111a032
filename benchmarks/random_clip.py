"""A model of real size without a model hub: speed and parity do not depend on what the weights are."""

from pathlib import Path

import torch
import transformers


def save_random_clip(folder: Path) -> None:
    """OpenAI's ViT-B/32 in its real size and configuration, its weights random."""
    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig(projection_dim=512)).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
