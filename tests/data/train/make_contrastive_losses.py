# SPDX-License-Identifier: Apache-2.0
"""Writes contrastive_losses.json: losses and gradients by PyTorch, in float64, from the papers' pseudocode.

usage: make_contrastive_losses.py      in an environment with torch
"""

import json
import pathlib

import torch
import torch.nn.functional as F


def clip(logits, _):
    # arXiv:2103.00020, figure 3
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def clip_shared(logits, captions):
    # arXiv:2204.03610, equation 2: captions that are equal share the probability
    pairs = (captions[:, None] == captions[None, :]).double()
    rows = F.cross_entropy(logits, pairs / pairs.sum(1, keepdim=True))
    columns = F.cross_entropy(logits.T, pairs.T / pairs.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def siglip(logits, captions):
    # arXiv:2303.15343, algorithm 1
    labels = 2.0 * (captions[:, None] == captions[None, :]).double() - 1.0
    return -torch.sum(F.logsigmoid(labels * logits)) / len(logits)


cases = []
torch.manual_seed(4)
for size, captions in ((1, [0]), (3, [0, 1, 2]), (6, [0, 1, 0, 2, 1, 0])):
    for name, loss in (("clip", clip if len(set(captions)) == size else clip_shared), ("siglip", siglip)):
        logits = (4 * torch.randn(size, size, dtype=torch.float32)).double().requires_grad_(True)
        value = loss(logits, torch.tensor(captions))
        value.backward()
        cases.append({"loss": name, "captions": captions, "logits": logits.detach().flatten().tolist(), "value": value.item(),
                      "gradient": logits.grad.flatten().tolist()})
path = pathlib.Path(__file__).with_name("contrastive_losses.json")
path.write_text(json.dumps(cases, indent=1) + "\n")
