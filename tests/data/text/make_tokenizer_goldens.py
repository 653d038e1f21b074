#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the tokenizer fixtures and goldens of this folder with the published libraries.

Usage, with the interpreters of the two reference environments (docs/testing.md):

  python make_tokenizer_goldens.py models   tokenizers, sentencepiece, protobuf: trains the small models
  python make_tokenizer_goldens.py fast     tokenizers: ids and text of tokenizers.json
  python make_tokenizer_goldens.py pieces   sentencepiece 0.1.99 (0.2.3 rounds near-ties of unigram differently)
  python make_tokenizer_goldens.py slow     transformers 4.37.2: the slow LLaMA class in both dialects

The trainer of tokenizers breaks ties at random: after `models`, make all goldens again. The other steps
are deterministic. `--count N --out FOLDER` makes more cases for a one-time comparison.
"""
import argparse
import io
import json
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent

WORDS = (
    "the a of and in picture image shows man woman dog cat red blue house street people holding two "
    "there is are what why where describe background standing bicycle umbrella kitchen table don't "
    "it's we'll I'm they've you're isn't 12 2024 3.14 100,000 007 x=1; print(f'{a}') for(int i=0;i<n;) "
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u043a\u043e\u0448\u043a\u0430 "
    "\u0441\u043e\u0431\u0430\u043a\u0430 \u0434\u043e\u043c \u56fe\u7247 \u663e\u793a \u4e00\u4e2a "
    "\u4ec0\u4e48 \u732b \u4f60\u597d \u65e5\u672c\u8a9e \u3053\u308c\u306f \u5199\u771f \u3067\u3059 "
    "\ud55c\uad6d\uc5b4 \uc0ac\uc9c4 "
    "\u0645\u0631\u062d\u0628\u0627 \u0635\u0648\u0631\u0629 \u05e9\u05dc\u05d5\u05dd "
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u091a\u093f\u0924\u094d\u0930 \u0e20\u0e32\u0e1e "
    "\u0395\u03bb\u03bb\u03ac\u03b4\u03b1 na\u00efve caf\u00e9 Z\u00fcrich stra\u00dfe \u0153uvre "
    "\u0130stanbul "
    "https://example.org/a?b=c <div> {\"k\": [1, 2]} \\n\\t // # ### **bold** _x_ `code` e.g. U.S.A."
).split()
ODD = [
    " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003", "\u200b", "\u200d", "\u0301",
    "e\u0301", "\u1e9b\u0323", "\ufb01", "\u212b", "\u2581", "\u2581\u2581", "\ufffd", "\u2028", "\u0085", "\u180e",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\u00bd", "\u2167", "\u0663",
    "\uff11\uff12", "\u2460", "\u017f", "\u212a", "'S", "'\u017f", "'LL", "\u1100\u1161\u11a8", "\uac01", "\x00", "\x1c",
    "<s>", "</s>", "<unk>", "<0x0A>", "<|im_end|>", "<image>", " <image> ", "<mask>", "word", "aword", "word.", "[x]",
    "...", "!!!", "----", "1", "12", "123", "1234", "12345678", "a1b2", "\ud55c\uae00", "\U00020000", "\u0e01\u0e33",
]


def random_text(rng):
    parts = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 12])):
        kind = rng.random()
        if kind < 0.5:
            parts.append(rng.choice(WORDS))
        elif kind < 0.9:
            parts.append(rng.choice(ODD))
        elif kind < 0.95:
            parts.append(rng.choice(WORDS).upper())
        else:
            parts.append("".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(160, 0x2FF),
                                                 rng.randrange(0x370, 0x600), rng.randrange(0x4E00, 0x4F00)]))
                                 for _ in range(rng.randrange(1, 6))))
        if rng.random() < 0.6:
            parts.append(" ")
    return "".join(parts)


def texts(name, count):
    """The odd strings that everybody gets, then random ones of this name."""
    rng = random.Random("texts " + name)
    return ["", *ODD, *(random_text(rng) for _ in range(count))]


def corpus():
    rng = random.Random("corpus")
    return [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(600)]


# ---------------------------------------------------------------- models

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def fast_tokenizers():
    """Name -> tokenizers.Tokenizer, each small and with something that the others lack."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers import trainers

    def special(content, **flags):
        return AddedToken(content, special=True, normalized=False, **flags)

    specials = [special(t) for t in ("<unk>", "<s>", "</s>", "<|im_end|>", "<image>")]
    byte_level = decoders.ByteLevel()
    begin = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    both = processors.TemplateProcessing(single="<s> $A </s>", pair="$A $B",
                                         special_tokens=[("<s>", 1), ("</s>", 2)])

    def split(pattern):
        return pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    def train(model, normalizer, pre, decoder, post, size=420, alphabet=(), **options):
        tokenizer = Tokenizer(model)
        if normalizer:
            tokenizer.normalizer = normalizer
        if pre:
            tokenizer.pre_tokenizer = pre
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                      initial_alphabet=list(alphabet), **options)
        tokenizer.train_from_iterator(corpus(), trainer)
        tokenizer.decoder = decoder
        if post:
            tokenizer.post_processor = post
        return tokenizer

    def train_bytes(normalizer, pre, post):
        return train(models.BPE(), normalizer, pre, byte_level, post, 460, pre_tokenizers.ByteLevel.alphabet())

    result = {
        "gpt2": train_bytes(None, pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel()),
        "prefix_space": train_bytes(None, pre_tokenizers.ByteLevel(add_prefix_space=True), None),
        "llama3": train_bytes(None, split(LLAMA3), processors.Sequence([processors.ByteLevel(), begin])),
        "qwen2": train_bytes(normalizers.NFC(), split(QWEN2), None),
        "smollm2": train_bytes(None, pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]), both),
    }
    spm_decoder = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                   decoders.Strip(" ", 1, 0)]

    def spm_like(normalizer, pre, decoder, byte_fallback=True):
        tokenizer = train(models.BPE(unk_token="<unk>", fuse_unk=True), normalizer, pre, decoder, begin, 380)
        if not byte_fallback:
            return tokenizer
        # The trainer knows no byte pieces: put them behind the specials and renumber.
        saved = json.loads(tokenizer.to_str())
        names = ["<unk>", "<s>", "</s>", "<|im_end|>", "<image>"] + ["<0x%02X>" % b for b in range(256)]
        names += [t for t, _ in sorted(saved["model"]["vocab"].items(), key=lambda item: item[1]) if t not in names]
        saved["model"]["vocab"] = {name: i for i, name in enumerate(names)}
        saved["model"]["byte_fallback"] = True
        return Tokenizer.from_str(json.dumps(saved))

    prepend = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    result["prepend"] = spm_like(prepend, None, decoders.Sequence(spm_decoder))
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            pre = pre_tokenizers.Metaspace("\u2581", scheme, cut)
            decoder = decoders.Metaspace("\u2581", scheme, cut) if cut else decoders.Sequence(spm_decoder)
            result[f"metaspace_{scheme}_{'split' if cut else 'whole'}"] = spm_like(None, pre, decoder, not cut)

    odd = train(models.BPE(unk_token="<unk>", fuse_unk=False, continuing_subword_prefix="##", end_of_word_suffix="@"),
                normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(),
                                      normalizers.Replace(Regex(r"[\s]{2,}"), " ")]),
                pre_tokenizers.Sequence([
                    pre_tokenizers.Split("-", "merged_with_next"), pre_tokenizers.Split(Regex(r"\d+"), "contiguous"),
                    pre_tokenizers.Split(Regex(r"\s"), "merged_with_previous"),
                    pre_tokenizers.Split(Regex(r"[\w ]+"), "removed", invert=True)]),
                None, None, 400, continuing_subword_prefix="##", end_of_word_suffix="@")
    odd.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("word", single_word=True),
                    AddedToken("[X]", rstrip=True, normalized=True)])
    result["odd"] = odd
    result["flags"] = spm_like(prepend, None, decoders.Sequence(spm_decoder))
    result["flags"].add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
                                AddedToken("word", single_word=True, normalized=False),
                                AddedToken("\u732b", normalized=True), AddedToken("dog", normalized=True)])
    ignoring = json.loads(result["llama3"].to_str())
    ignoring["model"]["ignore_merges"] = True
    ignoring["model"]["merges"] = ignoring["model"]["merges"][::2]
    known = {a + b for a, b in ignoring["model"]["merges"]} | {t for t in ignoring["model"]["vocab"] if len(t) == 1}
    ignoring["model"]["merges"] = [m for m in ignoring["model"]["merges"] if all(p in known for p in m)]
    result["ignore_merges"] = Tokenizer.from_str(json.dumps(ignoring))
    return result


def train_sentencepiece(name, **options):
    import sentencepiece
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, minloglevel=2, num_threads=1,
        hard_vocab_limit=False, character_coverage=0.98, **options)
    (HERE / f"{name}.model").write_bytes(model.getvalue())


def make_models():
    train_sentencepiece("bpe_llama", model_type="bpe", vocab_size=600, byte_fallback=True,
                        normalization_rule_name="identity", remove_extra_whitespaces=False,
                        split_digits=True, allow_whitespace_only_pieces=True)
    rules = HERE / "rules.tsv"
    rules.write_text("".join(f"{' '.join('%X' % ord(c) for c in a)}\t{' '.join('%X' % ord(c) for c in b)}\n" for a, b in (
        ("\uff11", "1"), ("\uff12", "2"), ("\ufb01", "fi"), ("\u00a0", " "), ("\u200b", ""), ("ss", "\u00df"),
        ("e\u0301", "\u00e9"), ("\n", " "), ("\u3000", " "))))
    try:
        train_sentencepiece("bpe_rules", model_type="bpe", vocab_size=420, normalization_rule_tsv=str(rules),
                            user_defined_symbols=["<image>", "dog", "\u732b\u732b"], treat_whitespace_as_suffix=True)
    finally:
        rules.unlink()
    train_sentencepiece("unigram_bytes", model_type="unigram", vocab_size=560, byte_fallback=True,
                        normalization_rule_name="identity", remove_extra_whitespaces=False,
                        user_defined_symbols=["<image>", "cat"])
    train_sentencepiece("unigram_nmt_nfkc", model_type="unigram", vocab_size=320,
                        normalization_rule_name="nmt_nfkc", add_dummy_prefix=False)
    # Unused pieces come from restricted vocabularies: BPE must split them again.
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto.FromString((HERE / "bpe_llama.model").read_bytes())
    rng = random.Random("unused")
    for piece in proto.pieces:
        if piece.type == 1 and len(piece.piece) > 1 and rng.random() < 0.4:
            piece.type = 5
    (HERE / "bpe_unused.model").write_bytes(proto.SerializeToString())
    write("tokenizers.json", {name: json.loads(t.to_str()) for name, t in sorted(fast_tokenizers().items())}, HERE)


# ---------------------------------------------------------------- goldens

def write(name, value, folder):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def id_lists(name, size, count):
    rng = random.Random("ids " + name)
    return [[rng.randrange(size) for _ in range(rng.randrange(1, 14))] for _ in range(count)]


def make_fast(count, folder):
    from tokenizers import Tokenizer
    result = {}
    for name, saved in json.loads((HERE / "tokenizers.json").read_text()).items():
        tokenizer = Tokenizer.from_str(json.dumps(saved))
        cases = []
        for text in texts(name, count):
            ids = tokenizer.encode(text).ids
            cases.append([text, ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)])
        decode = [[ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)]
                  for ids in id_lists(name, tokenizer.get_vocab_size(), count // 2)]
        # Text that comes back unchanged is written as true.
        cases = [[t, i, True if a == t else a, True if b == t else b] for t, i, a, b in cases]
        result[name] = {"size": tokenizer.get_vocab_size(), "encode": cases, "decode": decode}
    write("tokenizer_goldens.json", result, folder)


def make_pieces(count, folder):
    import sentencepiece
    result = {}
    for path in sorted(HERE.glob("*.model")):
        name = path.stem
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        encode = [[text, model.encode(text)] for text in texts(name, count)]
        decode = []
        for ids in id_lists(name, model.get_piece_size(), count // 2) + [ids for _, ids in encode[:20]]:
            pieces = [model.id_to_piece(i) for i in ids]
            decode.append([pieces, model.decode(pieces)])
        # Strings that are no piece stand for themselves.
        decode += [[p, model.decode(p)] for p in (["zzz\u2581q", "\u2581the"], ["\u2581", "\u2581", "\u2581a"], [])]
        result[name] = {"encode": encode, "decode": decode}
    write("sentencepiece_goldens.json", result, folder)


SLOW_CASES = {
    "legacy": {"config": {"legacy": True}},
    "modern": {"config": {"legacy": False}},
    "modern_end": {"config": {"legacy": False, "add_bos_token": False, "add_eos_token": True, "pad_token": "<pad>"}},
    "legacy_added": {"config": {"legacy": True, "pad_token": None},
                     "added": {"<im_start>": 0, "<im_end>": 1, "<image>": 2}, "map": {"pad_token": "<unk>"}},
    "modern_added": {"config": {"legacy": False, "additional_special_tokens": ["<image>"]},
                     "added": {"<im_start>": 0, "<im_end>": 1, "<image>": 2}},
    "legacy_loader": {"config": {"legacy": True}, "loader": ["<im_patch>", "<im_start>", "<im_end>"]},
    "modern_loader": {"config": {"legacy": False}, "loader": ["<im_patch>", "<im_start>", "<im_end>"]},
    "modern_flags": {"config": {"legacy": False, "added_tokens_decoder": {
        "0": {"content": "<unk>", "special": True}, "1": {"content": "<s>", "special": True},
        "2": {"content": "</s>", "special": True},
        "+0": {"content": "<mask>", "lstrip": True, "rstrip": True, "special": False},
        "+1": {"content": "word", "single_word": True, "special": False},
        "+2": {"content": "<|im_end|>", "special": True}}}, "map": {"pad_token": "ignored"}},
}
SLOW_PIECES = ["<im_start>", "<im_end>\nx", "a <im_start>b<im_end> c", "<im_patch>", "<im_end>", " <im_start> ",
               "<s>a", "x</s>y", "</s> y", " <mask> ", "a<mask>b", "word word. aword", "<|im_end|>\n"]


def make_slow(count, folder):
    import shutil
    import tempfile

    import transformers
    result = {}
    for name, case in SLOW_CASES.items():
        base = "unigram_bytes" if name == "modern_end" else "bpe_llama"
        with tempfile.TemporaryDirectory() as temp:
            place = pathlib.Path(temp)
            shutil.copy(HERE / f"{base}.model", place / "tokenizer.model")
            import sentencepiece
            size = sentencepiece.SentencePieceProcessor(model_file=str(place / "tokenizer.model")).get_piece_size()
            files = {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", **case["config"]}}
            added = files["tokenizer_config.json"].get("added_tokens_decoder", {})
            if added:
                flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
                files["tokenizer_config.json"]["added_tokens_decoder"] = {
                    (str(size + int(k[1:])) if k[0] == "+" else k): {**flags, **v} for k, v in added.items()}
            if "added" in case:
                files["added_tokens.json"] = {t: size + i for t, i in case["added"].items()}
            if "map" in case:
                files["special_tokens_map.json"] = case["map"]
            for file, value in files.items():
                (place / file).write_text(json.dumps(value))
            tokenizer = transformers.LlamaTokenizer.from_pretrained(place)
            for token in case.get("loader", []):
                tokenizer.add_tokens([token], special_tokens=True)
            encode = []
            for text in texts(name, count) + SLOW_PIECES:
                encode.append([text, tokenizer(text).input_ids])
            lists = id_lists(name, len(tokenizer), count // 2)
            rng = random.Random("specials " + name)
            for ids in lists:
                for _ in range(3):
                    ids.insert(rng.randrange(len(ids) + 1), rng.choice([0, 1, 2, size, len(tokenizer) - 1, 13]))
            decode = [[ids, tokenizer.decode(ids, skip_special_tokens=False),
                       tokenizer.decode(ids, skip_special_tokens=True)]
                      for ids in [[i for i in l if i < len(tokenizer)] for l in lists] + [ids for _, ids in encode[-40:]]]
            result[name] = {"model": base, "files": files, "loader": case.get("loader", []), "size": len(tokenizer),
                            "specials": sorted(tokenizer.all_special_tokens), "pad": tokenizer.pad_token_id,
                            "encode": encode, "decode": decode}
    write("slow_goldens.json", result, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["models", "fast", "pieces", "slow"])
    parser.add_argument("--count", type=int, default=85)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    args = parser.parse_args()
    if args.step == "models":
        make_models()
    else:
        {"fast": make_fast, "pieces": make_pieces, "slow": make_slow}[args.step](args.count, args.out)


if __name__ == "__main__":
    main()
