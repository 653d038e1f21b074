# SPDX-License-Identifier: Apache-2.0
"""Tokenizers with their own small vocabularies, in every published form."""
import io
import pathlib
import tempfile

from tiny.folders import write_json


# The pieces of the tokenizers: template sentences, plain English, and a few other scripts.
CORPUS = """A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions.
A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.
USER: What is shown in this image? ASSISTANT: The image shows a red circle on the table.
USER: Describe the picture in detail. ASSISTANT: There are two blue squares and a green triangle.
### Human: What colour is it? ### Assistant: It is yellow.
[INST] Which shape is this? [/INST] This is a circle.
You are a helpful assistant. Compare the two pictures. How many shapes are there? Where is it? Who is this?
The quick brown fox jumps over the lazy dog. 0123456789 (1 + 2) * 3 = 9; a_b "c" 'd' <e> {f} #g @h &i %j $k !l ?m ~n
na\u00efve caf\u00e9 \u00fcber stra\u00dfe \u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d
""".split("\n")


def sentencepiece_model(size=448, symbols=()):
    """A LLaMA-like `tokenizer.model`; `symbols` are pieces of their own, as Yi has for ChatML."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4),
        model_writer=out,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=0.985,
        split_digits=True,
        user_defined_symbols=list(symbols),
        num_threads=1,
        minloglevel=2,
    )
    return out.getvalue()


QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = QWEN2_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


def byte_level_tokenizer(pattern, size, specials, normalise, begin=None):
    """A tokenizer.json of the Qwen2 or Llama-3 kind."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=begin is not None))
    if normalise:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if begin is not None:
        tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tokenizer.token_to_id(begin))]
                ),
            ]
        )
    return tokenizer


def write_chatml_tokenizer(folder):
    """The slow tokenizer of LLaVA-1.6-34B (Yi): no begin token, ChatML markers in the vocabulary."""
    markers = ["<|im_start|>", "<|im_end|>"]
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(symbols=markers))
    special = lambda text: {  # noqa: E731
        "content": text,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": False,
            "add_eos_token": False,
            "added_tokens_decoder": {
                str(index): special(text) for index, text in enumerate(["<unk>", "<s>", "</s>", *markers])
            },
            "bos_token": "<s>",
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "legacy": True,
            "model_max_length": 4096,
            "pad_token": "<unk>",
            "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer",
            "unk_token": "<unk>",
        },
    )


def slow_tokenizer_config(legacy):
    token = lambda text: {  # noqa: E731
        "__type": "AddedToken",
        "content": text,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
    }
    return {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": token("<s>"),
        "clean_up_tokenization_spaces": False,
        "eos_token": token("</s>"),
        "legacy": legacy,
        "model_max_length": 2048,
        "pad_token": None,
        "padding_side": "right",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": token("<unk>"),
    }


def write_slow_tokenizer(folder, legacy=False, added=None):
    (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    write_json(folder / "tokenizer_config.json", slow_tokenizer_config(legacy))
    write_json(
        folder / "special_tokens_map.json",
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"},
    )
    if added:
        write_json(folder / "added_tokens.json", added)


def llama_fast_tokenizer():
    """A LLaMA tokenizer.json of the legacy=false kind with <image> and <pad>, as llava-hf has it."""
    import transformers

    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_slow_tokenizer(folder)
        tokenizer = transformers.LlamaTokenizerFast.from_pretrained(folder, legacy=False)
    special = [transformers.AddedToken(text, special=True, normalized=False) for text in ("<image>", "<pad>")]
    tokenizer.add_tokens(special)
    tokenizer.pad_token = "<pad>"
    return tokenizer


def qwen2_fast_tokenizer():
    import transformers

    core = byte_level_tokenizer(
        QWEN2_PATTERN, 400, ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], normalise=True
    )
    return transformers.Qwen2TokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, bos_token=None
    )


def llama3_fast_tokenizer():
    import transformers

    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>"]
    core = byte_level_tokenizer(LLAMA3_PATTERN, 400, names, normalise=False, begin="<|begin_of_text|>")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        model_input_names=["input_ids", "attention_mask"],
    )
