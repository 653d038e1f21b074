# SPDX-License-Identifier: Apache-2.0
"""Language models as GGUF, with a matrix of every format we read."""
import math

import numpy as np

from tiny.folders import MODELS
from tiny.tokenizers import sentencepiece_model
from tiny.weights import decoder


GGUF_LEGACY = {
    "vocab_size": 448,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
GGUF_K = {
    "vocab_size": 448,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
}
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def k_quant_blocks(name, kind, rows, columns):
    """Random K-quant blocks: the Python package dequantises these formats but cannot make them. Any
    bytes are a valid block; only the float16 scales are chosen, so that weights have a sensible size."""
    generator = np.random.Generator(np.random.PCG64(list(f"{name}/{kind}".encode())))
    count, size = rows * columns // 256, {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210}[kind]
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    target = 1.2 / math.sqrt(columns)
    if kind == "Q6_K":
        # 64 int8 scales times 6-bit values around zero
        scale = (target / (18 * 74) * generator.uniform(0.8, 1.2, count)).astype(np.float16)
        blocks[:, -2:] = scale.view(np.uint8).reshape(count, 2)
    else:
        steps = 15 if kind == "Q4_K" else 31
        scale = (target / (steps * 0.29 * 32) * generator.uniform(0.8, 1.2, count)).astype(np.float16)
        low = (scale.astype(np.float32) * steps / 2).astype(np.float16)
        blocks[:, 0:2] = scale.view(np.uint8).reshape(count, 2)
        blocks[:, 2:4] = low.view(np.uint8).reshape(count, 2)
    return blocks.reshape(rows, -1)


def write_gguf(path, shape, matrix, tied):
    """`matrix(name, rows, columns)` gives (data, type) for each matrix."""
    import gguf
    import sentencepiece

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(path.stem)
    writer.add_context_length(512)
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    head_dim = shape["hidden_size"] // shape["num_attention_heads"]
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape["vocab_size"])
    pieces = sentencepiece.SentencePieceProcessor()
    pieces.LoadFromSerializedProto(sentencepiece_model())
    kinds = [
        gguf.TokenType.UNKNOWN if pieces.IsUnknown(i) else gguf.TokenType.CONTROL if pieces.IsControl(i)
        else gguf.TokenType.BYTE if pieces.IsByte(i) else gguf.TokenType.NORMAL
        for i in range(pieces.GetPieceSize())
    ]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([pieces.IdToPiece(i).encode() for i in range(len(kinds))])
    writer.add_token_scores([pieces.GetScore(i) for i in range(len(kinds))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)

    def add(name, data, kind):
        writer.add_tensor(name, data, raw_dtype=kind)

    tensors = decoder(path.stem, shape)
    norm = lambda key: tensors[key].numpy()  # noqa: E731
    sizes = {"token_embd": tensors["model.embed_tokens.weight"]}
    if not tied:
        sizes["output"] = tensors["lm_head.weight"]
    for name, tensor in sizes.items():
        add(name + ".weight", *matrix(name, tensor))
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        add(f"blk.{layer}.attn_norm.weight", norm(at + "input_layernorm.weight"), gguf.GGMLQuantizationType.F32)
        add(f"blk.{layer}.ffn_norm.weight", norm(at + "post_attention_layernorm.weight"), gguf.GGMLQuantizationType.F32)
        for module, name in GGUF_NAMES.items():
            add(f"blk.{layer}.{name}.weight", *matrix(f"blk.{layer}.{name}", tensors[f"{at}{module}.weight"]))
    add("output_norm.weight", norm("model.norm.weight"), gguf.GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_gguf_bases():
    import gguf

    kinds = gguf.GGMLQuantizationType
    # One matrix of every format that the package can make; q and k rows are in the file's interleaved
    # order simply by being read so, because the values are random.
    legacy = {
        "token_embd": kinds.Q8_0,
        "output": kinds.F16,
        "blk.0.attn_q": kinds.Q4_0,
        "blk.0.attn_k": kinds.Q4_1,
        "blk.0.attn_v": kinds.Q5_0,
        "blk.0.attn_output": kinds.Q5_1,
        "blk.0.ffn_gate": kinds.BF16,
        "blk.0.ffn_up": kinds.Q8_0,
        "blk.0.ffn_down": kinds.Q4_0,
        "blk.1.attn_q": kinds.F32,
        "blk.1.attn_k": kinds.Q8_0,
        "blk.1.attn_v": kinds.Q4_1,
        "blk.1.attn_output": kinds.F16,
        "blk.1.ffn_gate": kinds.Q5_1,
        "blk.1.ffn_up": kinds.Q5_0,
        "blk.1.ffn_down": kinds.Q8_0,
    }
    write_gguf(
        MODELS / "base-gguf.gguf",
        GGUF_LEGACY,
        lambda name, tensor: (gguf.quants.quantize(tensor.numpy(), legacy[name]), legacy[name]),
        tied=False,
    )
    k_quants = {
        "token_embd": "Q6_K",
        "attn_q": "Q4_K",
        "attn_k": "Q5_K",
        "attn_v": "Q6_K",
        "attn_output": "Q5_K",
        "ffn_gate": "Q4_K",
        "ffn_up": "Q4_K",
        "ffn_down": "Q6_K",
    }

    def k_matrix(name, tensor):
        kind = k_quants[name.split(".")[-1]]
        return k_quant_blocks(name, kind, *tensor.shape), kinds[kind]

    write_gguf(MODELS / "base-gguf-k.gguf", GGUF_K, k_matrix, tied=True)
