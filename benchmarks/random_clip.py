"""A model of real size without a model hub: speed and parity do not depend on what the weights are."""

from pathlib import Path

import torch
import transformers
from tokenizers import pre_tokenizers

_TOKENS = 49_408


def save_random_clip(folder: Path) -> None:
    """OpenAI's ViT-B/32 in its real size and configuration, its weights random. Its tokenizer has as many tokens, and
    knows no word, but reads all by their bytes."""
    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig(projection_dim=512)).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"unused{number}" for number in range(_TOKENS - 2 - len(tokens))] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
