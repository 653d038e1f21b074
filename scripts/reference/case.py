# SPDX-License-Identifier: Apache-2.0
"""What is recorded: one prompt with its pictures, on its way through a model."""
import dataclasses

import torch

IMAGE_SENTINEL = -200  # stands for a picture in the ids of the original layout
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class UsageError(Exception):
    """Something the user can put right: shown without a traceback."""


@dataclasses.dataclass
class Case:
    """One prompt with its pictures. Give `query` (the model's own template is applied),
    `messages` (pairs of role and text, for `conv_mode`) or `prompt` (used as it is)."""

    name: str
    images: list = dataclasses.field(default_factory=list)
    query: str = None
    messages: list = None
    prompt: str = None
    conv_mode: str = None
    reply: str = None
    image_aspect_ratio: str = None
    max_new_tokens: int = 24


@dataclasses.dataclass
class Encoded:
    """A case as the model takes it."""

    prompt: str
    input_ids: torch.Tensor  # [T], before image expansion
    pixel_values: torch.Tensor = None  # [N, 3, H, W] float32
    labels: torch.Tensor = None  # [T]
    metadata: dict = dataclasses.field(default_factory=dict)
    inputs: dict = dataclasses.field(default_factory=dict)  # what the model itself wants, opaque here


@dataclasses.dataclass
class Outputs:
    """One forward pass over a whole prompt, without the batch dimension."""

    image_features: torch.Tensor  # [R, D] or None
    inputs_embeds: torch.Tensor  # [T', D]
    hidden: list  # of [T', D]; the last one is after the final norm
    logits: torch.Tensor  # [T', V]
    loss: torch.Tensor = None
