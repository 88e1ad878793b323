#!/usr/bin/env python3
"""Makes tests/golden/text: ids and renderings by programs that are not ours.

    python3 -m venv venv && venv/bin/pip install tokenizers sentencepiece gguf transformers xllamacpp
    venv/bin/python scripts/golden_text.py SMOLLM2.gguf

Ids of tiny trained vocabularies come from Hugging Face `tokenizers` and from `sentencepiece`, each checked
against llama.cpp (through xllamacpp) on an equal GGUF; ids of the real SmolLM2 vocabulary come from llama.cpp,
checked against `tokenizers`. Prompts come from the chat template code of transformers.
"""

import io
import json
import random
import sys
import tempfile
import urllib.request
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent / "tests/golden/text"

CONTROLS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>",
    "<s>", "</s>", "[INST]", "[/INST]", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",
]

CORPUS = [
    "", " ", "  ", "\n", "\n\n\n", "\t\t x", " a", "a ", "a  b   c    d", "\r\n", "line\r\nline\r\n\r\nend",
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "I'm you're he'd WE'LL they'Ve it'S can't",
    "don\u2019t \u2018quote\u2019 \u201cdouble\u201d \u2014 dash \u2026", "3.14159 1234567 12 1,000,000 0x1F 1e-9 \u00bd \u00b2 \u2167",
    "\u0664\u0662 \u0967\u0968\u0969 \u4e00\u4e8c\u4e09 \uff11\uff12\uff13", "2026-07-14T09:05:00Z +49 (0)30 1234",
    "Stra\u00dfe \u00c4pfel \u00e9t\u00e9 na\u00efve fa\u00e7ade \u0141\u00f3d\u017a \u010de\u0161tina \u0130stanbul",
    "e\u0301 a\u0308 n\u0303 (combining) o\u0302\u0323 \u1ec7", "\u0301 alone", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033da\u034f\u0334\u0319lg\u0489o",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\u30ab\u30bf\u30ab\u30ca", "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u043b\u043a\u0430", "\u03b3\u03b5\u03b9\u03b1 \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0661\u0662\u0663", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", "\u1019\u103c\u1014\u103a\u1019\u102c",
    "\U0001f600\U0001f602\U0001f923", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family", "\U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd \u2764\ufe0f", "\u2603\u2620\u269b \u221e\u2260\u2264 \u2211\u222b",
    "fn main() {\n    println!(\"{}\", 1 + 2);\n}\n", "def f(x):\n\treturn x**2  # square\n\n\nclass A: pass",
    "<html><body class=\"x\">&amp; &lt;</body></html>", "SELECT * FROM t WHERE a='b' AND c<>d;", "{\"a\": [1, 2, {\"b\": null}]}",
    "if (a && b || !c) { x <<= 2; y >>>= 3; }", "https://example.org/path?q=1&r=%20#frag", "C:\\Users\\x\\n", "a_b-c.d/e\\f|g~h`i^j",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case", "!!!???...---===***", "((((()))))", "$100 \u20ac50 \u00a330 \u00a5700 100%",
    "<|im_start|>system\nYou are evil<|im_end|>", "<|im_end|>", "x<|im_start|>y<|im_end|> z", "<|im_ start|> <|im_end| > <| im_end|>",
    "<<|im_end|>>", "<|im_<|im_end|>end|>", "<|endoftext|> and <s> and </s> and [INST] x [/INST]", "<|eot_id|><|start_header_id|>user<|end_header_id|>",
    "<start_of_turn>user\nhi<end_of_turn>", "<0x0A> <0xFF> <0x41>", "\u2581lead \u2581\u2581two", "\u0120hello \u010a", "\ufffd\ufffd", "\u00c3\u00a9 \u00e2\u0080\u0099 \u00ef\u00bb\u00bf",
    "\ufeffBOM", "zero\u200bwidth\u200cjoin\u200der\u2060", "nbsp\u00a0thin\u2009ideographic\u3000end", "\u0085next\u2028line\u2029para", "soft\u00adhyphen", "\x01\x02\x1b[31mred\x7f",
    "\u202eright to left\u202c", "\U000f0000\U0010fffd\ue000 private", "\U00010348\U0001d54f\U00020000", "\ua9c5\U0001f9ff\u0378",
    "antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft", "a" * 300, "ab" * 200, "x " * 60, " " * 50, "\n" * 20 + "x", "0" * 40, "=" * 81, "\U0001f600" * 20,
    "lorem" * 50 + "\u00e9" * 30, "word\n  indented\n    more\n\ttab\n", "trailing spaces   \n   leading\n \n", "end with newline\n", "A. B. C. 1) 2) 3)", "\u00c5ngstr\u00f6m A\u030angstro\u0308m \u212b",
    "o'clock rock'n'roll 'tis '90s", "x\u017f '\u017fo", "ALL CAPS AND lower", "mixed\u4e2d\u6587and\u0440\u0443\u0441123abc",
]

PROSE = """
The tokenizer reads text and gives numbers. A model reads numbers and gives numbers. In the year 2024 there
were 1234 ways to say hello, and 56789 ways to say good-bye. It's not that they're wrong; we'll see what he'd do.
Every answer is a list of tokens, and every token is a piece of a word, such as "ing", "tion", "ment" or "ness".
for i in range(10): print(i)   if x == y: return the value   system user assistant You are a helpful assistant.
Die Katze sitzt auf der Matte, und der Hund schlaeft. Le chat est sur le tapis. El gato esta en la alfombra.
What is the capital of France? The capital of France is Paris. What is two plus two? Two plus two is four.
"""

CL100K = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")


def split(pattern):
    return [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]


# The pre-tokenizers as the models' own tokenizer.json files have them.
PRE = {
    "smollm": ([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False, use_regex=True)], None, False),
    "llama-bpe": (split(CL100K), None, True),
    "qwen2": (split(QWEN2), normalizers.NFC(), False),
    "gpt-2": ([pre_tokenizers.ByteLevel(False, use_regex=True)], None, False),
}


def write(name, value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (ROOT / name).write_text(text + "\n", encoding="utf-8", newline="\n")


def llama_ids(path, texts, parse):
    """Ids by llama.cpp's own server."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 128
    params.n_parallel = 1
    params.warmup = False
    params.cpuparams.n_threads = 1
    params.port = 0
    server = xllamacpp.Server(params)
    out = []
    for text in texts:
        body = json.dumps({"content": text, "add_special": False, "parse_special": parse}).encode()
        request = urllib.request.Request(
            server.listening_address + "/tokenize", body, {"Content-Type": "application/json"}
        )
        out.append(json.load(urllib.request.urlopen(request))["tokens"])
    return out


def write_gguf(path, metadata):
    """A GGUF with these tokenizer keys and a random one-block model, so that llama.cpp loads it."""
    w = gguf.GGUFWriter(path, "llama")
    n = len(metadata["tokenizer.ggml.tokens"])
    w.add_context_length(64), w.add_embedding_length(32), w.add_block_count(1), w.add_feed_forward_length(32)
    w.add_head_count(2), w.add_head_count_kv(2), w.add_layer_norm_rms_eps(1e-5), w.add_vocab_size(n)
    w.add_rope_dimension_count(16)
    for key, value in metadata.items():
        if isinstance(value, bool):
            w.add_bool(key, value)
        elif isinstance(value, int):
            w.add_uint32(key, value)
        elif isinstance(value, str):
            w.add_string(key, value)
        else:
            w.add_array(key, value)
    shapes = {"token_embd": (n, 32), "output_norm": (32,), "output": (n, 32), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{name}"] = (32, 32)
    for name, shape in shapes.items():
        w.add_tensor(name + ".weight", np.full(shape, 0.01, dtype=np.float32))
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


def compare(name, ours, theirs):
    odd = [text for text, a, b in zip(CORPUS, ours, theirs) if a != b]
    print(f"{name}: {len(CORPUS) - len(odd)} of {len(CORPUS)} texts agree; differ: {[t[:40] for t in odd]}")


def bpe(pre):
    steps, normalizer, ignore_merges = PRE[pre]
    tok = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    if normalizer:
        tok.normalizer = normalizer
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=720, show_progress=False, special_tokens=CONTROLS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tok.train_from_iterator([PROSE] * 4 + CORPUS, trainer)
    if ignore_merges:
        # A whole piece that the merges cannot reach, as in Llama 3: only the whole-piece rule finds it.
        state = json.loads(tok.to_str())
        state["model"]["vocab"]["\u0120unreachable"] = len(state["model"]["vocab"])
        tok = tokenizers.Tokenizer.from_str(json.dumps(state))
    tok.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    state = json.loads(tok.to_str())
    write(f"bpe-{pre}.tokenizer.json", state)
    vocab = tok.get_vocab(with_added_tokens=True)
    tokens = sorted(vocab, key=vocab.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    kinds = [3 if t in CONTROLS else 4 if t in ("<think>", "</think>") else 1 for t in tokens]
    metadata = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds, "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": vocab["<|begin_of_text|>"], "tokenizer.ggml.eos_token_id": vocab["<|im_end|>"],
    }
    write(f"bpe-{pre}.gguf.json", metadata)
    texts = CORPUS + ["an unreachable word", "<think>\nhm </think> x"]
    parse = [tok.encode(t, add_special_tokens=False).ids for t in texts]
    tok.encode_special_tokens = True
    plain = [tok.encode(t, add_special_tokens=False).ids for t in texts]
    tok.encode_special_tokens = False
    rng = random.Random(7)
    wild = [[rng.randrange(len(tokens)) for _ in range(24)] for _ in range(40)]
    decoded = [{"ids": ids, "text": tok.decode(ids, skip_special_tokens=True)} for ids in wild]
    write(f"bpe-{pre}.ids.json", {"texts": texts, "plain": plain, "parse": parse, "decoded": decoded})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path, metadata)
        compare(f"{pre} plain", plain, llama_ids(path, CORPUS, False))
        compare(f"{pre} parse", parse, llama_ids(path, CORPUS, True))
    return tok


def spm(style):
    prefix = style != "gemma"
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for t in [PROSE] * 4 + CORPUS for line in t.splitlines() if line.strip()]),
        model_writer=model, model_type="bpe", vocab_size=760 if style != "bare" else 500,
        character_coverage=0.985, byte_fallback=style != "bare",
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
        split_digits=True, allow_whitespace_only_pieces=True, max_sentence_length=100000,
        control_symbols=["<start_of_turn>", "<end_of_turn>"],
        user_defined_symbols=[] if prefix else ["\n\n", "\n\n\n", "<unused0>", "<h1>"],
        pad_id=3, num_threads=1, minloglevel=2,
    )
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    if style == "bare":
        # Pieces that merges pass through but that must fall apart again.
        normal = [p for p in proto.pieces if p.type == p.NORMAL and len(p.piece) > 1]
        for piece in normal[::3]:
            piece.type = piece.UNUSED
    sp = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    kinds = []
    for i in range(len(sp)):
        kind = 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1
        kinds.append(4 if sp.id_to_piece(i) in ("\n\n", "\n\n\n", "<unused0>", "<h1>") else kind)
    metadata = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [sp.id_to_piece(i) for i in range(len(sp))],
        "tokenizer.ggml.scores": [float(sp.get_score(i)) for i in range(len(sp))], "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": sp.bos_id(), "tokenizer.ggml.eos_token_id": sp.eos_id(),
        "tokenizer.ggml.unknown_token_id": sp.unk_id(), "tokenizer.ggml.add_space_prefix": prefix,
    }
    write(f"spm-{style}.gguf.json", metadata)
    plain = [sp.encode(t) for t in CORPUS]
    # Without bytes an unknown character has no text.
    decoded = [{"ids": ids, "text": sp.decode(ids)} for ids in plain if style != "bare"]
    write(f"spm-{style}.ids.json", {"texts": CORPUS, "plain": plain, "decoded": decoded})
    if style == "bare":
        # llama.cpp answers with an error where a character has no piece and there are no bytes.
        return sp, metadata
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_gguf(path, metadata | {"tokenizer.ggml.pre": "default"})
        compare(f"spm {style}", plain, llama_ids(path, CORPUS, False))
    return sp, metadata


def spm_as_json(metadata):
    """The same pieces as a tokenizer.json in the style of Llama 2: merges in the order of scores."""
    tokens = metadata["tokenizer.ggml.tokens"]
    scores = dict(zip(tokens, metadata["tokenizer.ggml.scores"]))
    kinds = dict(zip(tokens, metadata["tokenizer.ggml.token_type"]))
    vocab = {t: i for i, t in enumerate(tokens)}
    merges = []
    for token in tokens:
        if kinds[token] == 1:
            merges += [(token[:i], token[i:]) for i in range(1, len(token)) if kinds.get(token[:i]) == 1 and kinds.get(token[i:]) == 1]
    merges.sort(key=lambda m: (-scores[m[0] + m[1]], vocab[m[0]], vocab[m[1]]))
    tok = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    tok.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])
    tok.add_special_tokens([AddedToken(t, normalized=False) for t in tokens if kinds[t] in (2, 3)])
    write("spm-llama.tokenizer.json", tok.to_str())
    parse = [tok.encode(t, add_special_tokens=False).ids for t in CORPUS]
    tok.encode_special_tokens = True
    plain = [tok.encode(t, add_special_tokens=False).ids for t in CORPUS]
    tok.encode_special_tokens = False
    decoded = [{"ids": ids, "text": tok.decode(ids)} for ids in plain]
    write("spm-llama-json.ids.json", {"texts": CORPUS, "plain": plain, "parse": parse, "decoded": decoded})


def chats(tok, smollm2_template):
    from transformers.utils.chat_template_utils import render_jinja_template

    texts = ["Hello!", "  spaced \n", "Say \u00e9 \u4f60\u597d \U0001f468\u200d\U0001f469\u200d\U0001f467.", "<think>\nwell\n</think>\n\nFour.",
             "line one\r\nline two\n\n  ", "{{ messages }} {% if x %} \\n 'quoted' \"double\"", "user", "a</think>b</think>c \n", "\x1c\x1f sep \x1d\u00a0"]
    conversations = [
        [("user", t)] for t in texts
    ] + [
        [("system", " Be brief. "), ("user", "What is two plus two?"), ("assistant", texts[3]), ("user", " And three? ")],
        [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", texts[7]), ("user", texts[2])],
        [("user", ""), ("assistant", " "), ("user", "\n")], [("user", "one"), ("user", "two")],
    ]
    out = []
    templates = {p.stem: p.read_text(encoding="utf-8") for p in sorted((ROOT / "templates").glob("*.jinja"))}
    for name, source in (templates | {"smollm2": smollm2_template}).items():
        for turns in conversations:
            for add in (True, False):
                messages = [{"role": r, "content": c} for r, c in turns]
                try:
                    rendered, _ = render_jinja_template([messages], chat_template=source, add_generation_prompt=add,
                                                        bos_token="<|begin_of_text|>", eos_token="<|im_end|>")
                    result = {"text": rendered[0], "ids": tok.encode(rendered[0], add_special_tokens=False).ids}
                except Exception as error:
                    result = {"error": str(error)}
                out.append({"template": name, "messages": turns, "add": add} | result)
    write("chats.json", out)


def smollm2(path):
    fields = {k: f.contents() for k, f in gguf.GGUFReader(path).fields.items() if k.startswith("tokenizer.")}
    ids = llama_ids(path, CORPUS, False)
    parse = llama_ids(path, CORPUS, True)
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
    tok = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence(PRE["smollm"][0])
    specials = [t for t, k in zip(tokens, fields["tokenizer.ggml.token_type"]) if k == 3]
    tok.add_special_tokens([AddedToken(t, normalized=False) for t in specials])
    compare("smollm2 parse, tokenizers", parse, [tok.encode(t, add_special_tokens=False).ids for t in CORPUS])
    tok.encode_special_tokens = True
    compare("smollm2 plain, tokenizers", ids, [tok.encode(t, add_special_tokens=False).ids for t in CORPUS])
    write("smollm2.json", [{"text": t, "ids": a, "parse": b} for t, a, b in zip(CORPUS, ids, parse)])
    return fields["tokenizer.chat_template"]


def main():
    template = smollm2(Path(sys.argv[1]))
    write("templates/smollm2.jinja", template + "\n")
    write("corpus.json", CORPUS)
    toks = {pre: bpe(pre) for pre in PRE}
    _, metadata = spm("llama")
    spm("gemma")
    spm("bare")
    spm_as_json(metadata)
    chats(toks["llama-bpe"], template)


if __name__ == "__main__":
    main()
