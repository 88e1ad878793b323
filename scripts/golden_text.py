#!/usr/bin/env python3
"""Makes tests/golden/text: ids and renderings by programs that are not ours.

    python3 -m venv venv && venv/bin/pip install tokenizers sentencepiece gguf transformers xllamacpp
    venv/bin/python scripts/golden_text.py SMOLLM2.gguf
    venv/bin/python scripts/golden_text.py splits    # only splits.json
    venv/bin/python scripts/golden_text.py jinja     # only jinja.json

Ids of tiny trained vocabularies come from Hugging Face `tokenizers` and from `sentencepiece`, each checked
against llama.cpp (through xllamacpp) on an equal GGUF; ids of the real SmolLM2 vocabulary come from llama.cpp,
checked against `tokenizers`. Prompts come from the chat template code of transformers. How each name of
`tokenizer.ggml.pre` cuts a text comes from `tokenizers` with the expressions of the models' own files.
"""

import hashlib
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


SPLIT_TEXTS = [
    "HelloWorld camelCase XMLHttpRequest iPhone ABCdef aBC", "DON'T we'Ll it's'S x'tis", "a/b//c/\n/d\r\n//\n\n/", "!!!\n\n???/\n ...\r\n",
    "1234567890 12 123 1234 12345 1,234,567.89 x1y22z333", "\u0661\u0662\u0663\u0664 \uff11\uff12\uff13\uff14 \u00bd\u00b2\u2167", " 1 \n2 \n 3",
    "e\u0301a\u0308 E\u0301X n\u0303 \u0928\u093f \u0e01\u0e33 x\u0302Y\u0302", "\u65e5\u672c\u8a9e\u30c6\u30b9\u30c8 \ud55c\uad6d\uc5b4 \u4e2d\u6587abc\u5b57\u7b26 \u0800\u4e00 \ud7ff",
    " \n\n  x \r y\t\tz  ", "\n\n\n", "   ", "x   ", "\u201cquote\u201d \u2018x\u2019 \u3002\u3001\uff01\uff1f \u2026\u2014", "$a #tag @user ~x ^y `z` +1 <b> =c |d",
    "\u1f5f\u1f7d\u1fd3\u1fdb \u1fbe \u2126\u212a\u212d \u01c5 \u01bb\u01c0 \u0294 \u10d0\u1c90", "\u02b0\u02ee \u0645\u0631\u062d \u05e9\u05dc", "\U0001f469\u200d\U0001f680 \U0001f1e9\U0001f1ea ok\U0001f44d\U0001f3fd",
    "foo_bar.baz(qux);  // c\n\treturn -x;\n}", "\u2028a\u0085b\u00a0c\u3000d", "\u00a0\u00a0x \u200bz", "A\u030a \u00c5 K\u212a s\u017f'\u017f",
]

DIGIT, DIGITS3 = r"\p{N}", r"\p{N}{1,3}"
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
WORDS = r"[^\r\n\p{L}\p{N}]?%s*%s+%s|[^\r\n\p{L}\p{N}]?%s+%s*%s|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
CASED = "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+"
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"

# Split rules by the name in `tokenizer.ggml.pre`: llama.cpp's src/llama-vocab.cpp quotes the expressions of the
# models' own files, and names those files in conversion/base.py.
SPLITS = {
    "smollm": [DIGIT, GPT2], "gpt-2": [GPT2], "llama-bpe": [CL100K], "qwen2": [QWEN2],
    "tekken": [WORDS % (UPPER, LOWER, "", UPPER, LOWER, "") + DIGIT + REST],
    "gpt-4o": [WORDS % (UPPER, LOWER, SHORT, UPPER, LOWER, SHORT) + DIGITS3 + REST],
    "seed-coder": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "deepseek-llm": [r"[\r\n]", CASED, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", CJK, DIGIT],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", CJK, DIGIT],
    "deepseek-v3": [DIGITS3, "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""],
    "superbpe": [r"\p{N}+", r"(?=(\d{3})+(?!\d))"],
    "minicpm5": [DIGITS3, CL100K.replace(r"\p{N}{1,3}", r"\p{N}+")],
}


JINJA_CONTEXT = {
    "s": "\u00e9t\u00e9 | it's \u4f60\u597d", "pad": "  a  b\tc  ", "lines": "a\r\nb\rc\u2028d\n", "i": 7, "neg": "-42", "f": 1.0, "big": 1e16, "small": 0.00001,
    "no": None, "yes": True, "l": ["a", 'it\'s "x"', None, True, 1.5, ["\u00e9\n\t\\\u200b"]], "m": {"a": {"y": {}, "z": []}, "b": 1},
    "fns": [{"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {"q": {"type": "string", "enum": ["x", "\u00df\U0001f600"]}}}}}],
}

# What templates do that Jinja implementations do not agree on.
JINJA = [
    "{{ l }}|{{ m }}|{{ fns }}|{{ [] }}|{{ {} }}|{{ yes }}|{{ no }}|{{ f }}|{{ big }}|{{ small }}|{{ 1.5 }}|{{ i }}", "{{ l | string }}|{{ no | string }}|{{ yes | string }}",
    "{{ [1, 1.0, none, true, 'x', ['y']] | join('-') }}|{{ fns | join(',', attribute='type') }}", "{{ fns | tojson }}", "{{ fns | tojson(indent=2) }}", "{% set x = {'b': 1, 'a': {'z': [], 'y': {}}} %}{{ x }}{{ x | tojson }}{{ x | tojson(indent=4, sort_keys=true) }}",
    "{{ [{'b': 1, 'a': 2}] | tojson(sort_keys=True, separators=(',', ':')) }}", "{{ fns | tojson(ensure_ascii=True) }}", "{{ s | tojson(ensure_ascii=False) }}{{ big | tojson }}{{ f | tojson }}{{ small | tojson }}",
    "{{ m | tojson(separators=(',', ': '), indent=1) }}", "{{ m | tojson(indent='\t') }}", "{{ '\\x7f\\x08' | tojson }}{{ '\\x7f' | tojson(ensure_ascii=true) }}",
    "{% for x in [none, 1, 'x', [], {}, undefined_thing, true] %}{{ x is iterable }},{{ x is sequence }},{{ x is mapping }},{{ x is number }},{{ x is integer }},{{ x is string }},{{ x is boolean }};{% endfor %}",
    "{{ 'a-b-c'.split('-', maxsplit=1) }}{{ 'a-b-c'.rsplit(sep='-', maxsplit=1) }}{{ pad.split(maxsplit=1) }}{{ lines.splitlines(keepends=true) }}",
    "{{ ''.find('', 5) }}{{ 'x'.find('', 1) }}{{ 'x'.find('', 5) }}{{ 'x'.rfind('', 5) }}{{ 'abc'.find('', 2, 1) }}{{ 'abc'.rfind('', 0, 9) }}{{ 'abc'.find('c', -1) }}",
    "{{ nothing is callable }}{{ none is callable }}{{ fns | join(',', 'type') }}|{{ fns | join(attribute='function.name') }}|{{ [['a', 'b'], ['c', 'd']] | join('-', attribute=1) }}{{ [['a']] | join(attribute='0') }}|{{ fns | join('-', attribute='zz') }}|{{ [1, 2] | join('-', attribute=none) }}",
    "{{ raise_exception is callable }}{{ s is callable }}{{ m is callable }}", "{{ s.find('|') }}{{ s.rfind('\u00e9') }}{{ s.find('zz') }}{{ s.index('it') }}{{ s.find('t', 3) }}{{ s.find('t', -5, -1) }}",
    "{{ 'a-b-c'.rsplit('-', 1) }}{{ 'a-b-c'.split('-', 1) }}{{ 'a-b-c'.split('-') }}{{ pad.split() }}{{ pad.split(none, 1) }}{{ pad.rsplit(None, 1) }}{{ ''.split() }}{{ ''.split(',') }}{{ pad.rsplit() }}",
    "{{ 'k=v=w'.partition('=')[2] }}{{ 'k=v=w'.rpartition('=')[0] }}{{ 'kv'.partition('=')[0] }}{{ 'kv'.rpartition('=')[2] }}", "{{ neg.zfill(6) }}{{ '7'.zfill(3) }}{{ '+7'.zfill(1) }}",
    "{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.txt'.removesuffix('.txt') }}{{ 'x'.removeprefix('') }}", "[{{ 'ab'.ljust(5) }}][{{ 'ab'.rjust(5, '.') }}][{{ 'ab'.center(5) }}][{{ 'abc'.center(6, '*') }}][{{ 'abc'.center(2) }}]",
    "[{{ 'ab' | center(7) }}][{{ 'abc' | center(6) }}]", "{{ lines.splitlines() }}{{ lines.splitlines(true) }}{{ ''.splitlines() }}", "{{ \"they're OK, stra\u00dfe\".title() }}{{ 'Stra\u00dfe'.casefold() }}{{ 'aBc'.swapcase() }}{{ 'hELLO w'.capitalize() }}",
    "{{ ''.isdigit() }}{{ '12'.isdigit() }}{{ 'aB'.islower() }}{{ 'a1'.islower() }}{{ '1'.isupper() }}{{ ''.isspace() }}{{ ' \t'.isspace() }}{{ 'a1'.isalnum() }}", "{{ 'aXbX'.count('X') }}{{ 'ab'.count('') }}{{ [1, 2, 1].count(1) }}{{ [3, 4].index(4) }}",
    "{{ 'a b/c?d=\u00e9~' | urlencode }}", "{{ dict([('a', 1), ('b', none)]) }}{{ dict(m, c=2) }}{{ dict(x=1) }}", "{{ '%s is %d' | format('x', 3) }}{{ '{} {}'.format('a', 1) }}",
    "{{ m.items() | list | length }}{{ m.keys() | list }}{{ m.get('zz', 'd') }}{{ m.copy() }}{% for k, v in m.items() %}{{ k }}={{ v }};{% endfor %}", "{{ s[::-1] }}{{ s[1:3] }}{{ s | length }}{{ l[-1][0] | length }}",
    "{% if fns is iterable and fns | length > 0 %}T{% endif %}{% if no is iterable and no | length > 0 %}N{% endif %}", "{% macro f(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f('x', b=[1, 'y']) }}",
    "{% set ns = namespace(n=0) %}{% for x in [1, 2] %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", "a\r\nb{{ 'x' }}\rc\r\n{% if yes %}\r\nd\r\n{% endif %}\r\ne\r\n", "{{ '\u00a0x\x1c ' | trim }}|{{ 'xxaxx'.strip('x') }}|{{ 'xxaxx'.lstrip('x') }}",
]


def jinja():
    """Renderings by the environment of transformers. Keys of the context are in order, as ours reads them."""
    from transformers.utils.chat_template_utils import _compile_jinja_template

    context = json.loads(json.dumps(JINJA_CONTEXT, sort_keys=True))
    out = [[source, _compile_jinja_template(source).render(**context)] for source in JINJA]
    write("jinja.json", {"context": context, "rendered": out})


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


def splits():
    """For each name, a digest of the pieces of each text; llama.cpp's ids with a vocabulary in which nearly
    everything merges say whether it cuts the same."""
    texts = SPLIT_TEXTS + CORPUS
    out = {}
    eager = tokenizers.Tokenizer(models.BPE())
    eager.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    eager.train_from_iterator(texts * 2, trainers.BpeTrainer(
        vocab_size=12000, show_progress=False, initial_alphabet=alphabet, max_token_length=24))
    state = json.loads(eager.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    metadata = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens + ["<|end|>"],
        "tokenizer.ggml.token_type": [1] * len(tokens) + [3], "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.merges": [" ".join(m) for m in state["merges"]], "tokenizer.ggml.add_bos_token": False,
    }
    for name, patterns in SPLITS.items():
        steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
        cut = pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(False, use_regex=False)])
        pieces = ["\n".join(piece for piece, _ in cut.pre_tokenize_str(text)) for text in texts]
        out[name] = " ".join(hashlib.sha256(p.encode()).hexdigest()[:6] for p in pieces)
        eager.pre_tokenizer = cut
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.gguf"
            write_gguf(path, metadata | {"tokenizer.ggml.pre": name})
            theirs = llama_ids(path, texts, False)
        odd = [t for t, ids in zip(texts, theirs) if ids != eager.encode(t, add_special_tokens=False).ids]
        print(f"{name}: {len(texts) - len(odd)} of {len(texts)} texts cut as llama.cpp does; not {[t[:30] for t in odd]}")
    write("splits.json", {"texts": SPLIT_TEXTS, "pieces": out})


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
    parts = {"splits": splits, "jinja": jinja}
    if sys.argv[1] in parts:
        return parts[sys.argv[1]]()
    template = smollm2(Path(sys.argv[1]))
    write("templates/smollm2.jinja", template + "\n")
    write("corpus.json", CORPUS)
    toks = {pre: bpe(pre) for pre in PRE}
    _, metadata = spm("llama")
    spm("gemma")
    spm("bare")
    spm_as_json(metadata)
    splits()
    jinja()
    chats(toks["llama-bpe"], template)


if __name__ == "__main__":
    main()
