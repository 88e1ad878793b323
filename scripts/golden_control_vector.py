#!/usr/bin/env python3
"""Write tests/golden/vectors: what other programs make of our vectors, and we of theirs, on the default model.

    target/oracle/bin/python scripts/golden_control_vector.py --gguf MODEL.gguf [--trimtab target/release/trimtab]

  concise.safetensors      `trimtab extract`: mean difference of examples/data/concise.jsonl at blocks 13 to 17
  concise.gguf.sha256      of what `trimtab export` makes of it
  reference.safetensors    numbers of llama.cpp and transformers:
    I.tokens               u32 [time]   prompts 0 to 7
    I.llama_cpp            f16 [128]    how the exported GGUF changes llama.cpp's logits behind prompt I, every 384th
    mean_difference        f16 [576]    of the first 25 pairs at block 15, mean over the answer, by transformers

The GGUF is read by llama.cpp's own loader, common_control_vector_load, which lies in a library beside llama-cpp-python
and is C++: its arguments are laid out here as libstdc++ does on x86-64.

transformers runs the GGUF's weights in f32. The script also prints the cosines over the whole vocabulary between
llama.cpp's changes and those of transformers with the same offsets: how far two programs that are not ours are apart.
"""

import argparse
import ctypes
import hashlib
import json
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
from golden_smollm2 import reference
from golden_vectors import last_logits
from rounds import output
from safetensors.numpy import save_file

LOADER = "_Z26common_control_vector_loadRKSt6vectorI31common_control_vector_load_infoSaIS0_EE"
SCALE = 1.0
EVERY = 384
SITES = "resid_post.13-17"
PAIRS = 25
REPENG_BLOCKS = [10, 15]
REPENG_STRENGTH = 12.0
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
PROMPTS = [
    "Why do leaves change colour in autumn?",
    "How do I keep my kitchen knives sharp?",
    "What is a good way to learn the names of birds?",
    "Describe the sea on a windy day.",
    "Which is heavier, a kilogram of feathers or a kilogram of iron?",
    "Tell me about the history of the bicycle.",
    "Should I water tomatoes in the morning or in the evening?",
    "Explain what an echo is to a child.",
]


def asked(prompt):
    """A question as ChatML that asks for an answer, which is what the model's template makes of it."""
    return (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n"
            "<|im_start|>assistant\n")


class CppString(ctypes.Structure):
    """std::string."""

    _fields_ = [("text", ctypes.c_char_p), ("length", ctypes.c_size_t), ("short", ctypes.c_char * 16)]


class LoadInfo(ctypes.Structure):
    """common_control_vector_load_info."""

    _fields_ = [("strength", ctypes.c_float), ("path", CppString)]


class CppVector(ctypes.Structure):
    """std::vector."""

    _fields_ = [("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("room", ctypes.c_void_p)]


class LoadedData(ctypes.Structure):
    """common_control_vector_data."""

    _fields_ = [("width", ctypes.c_int), ("data", CppVector)]


def loaded(path, width):
    """What llama.cpp reads from a GGUF, at the scale."""
    library = Path(llama_cpp.__file__).parent.parent / "lib" / "libllama-common.so"
    load = getattr(ctypes.CDLL(str(library)), LOADER)
    load.restype = None
    name = str(path).encode()
    info = LoadInfo(SCALE, CppString(name, len(name)))
    begin, end = ctypes.addressof(info), ctypes.addressof(info) + ctypes.sizeof(info)
    result = LoadedData()
    load(ctypes.byref(result), ctypes.byref(CppVector(begin, end, end)))
    if result.width != width:
        raise SystemExit(f"llama.cpp does not load {path}: width {result.width}")
    length = (result.data.end - result.data.begin) // ctypes.sizeof(ctypes.c_float)
    return np.array((ctypes.c_float * length).from_address(result.data.begin), dtype=np.float32)


class Llama:
    """The model in llama.cpp."""

    def __init__(self, path):
        self.llm = llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1,
                                   logits_all=True, verbose=False)
        self.width = self.llm.n_embd()
        self.blocks = llama_cpp.llama_model_n_layer(self.llm.model)

    def tokens(self, text):
        """Ids of a text with control tokens."""
        return self.llm.tokenize(text.encode(), add_bos=False, special=True)

    def steer(self, vector):
        """Use a control vector; none for no vector."""
        pointer, length = None, 0
        if vector is not None:
            data = loaded(vector, self.width)
            pointer, length = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), len(data)
        code = llama_cpp.llama_set_adapter_cvec(self.llm.ctx, pointer, length, self.width, 1,
                                                self.blocks)
        if code != 0:
            raise SystemExit(f"llama_set_adapter_cvec gave {code}")

    def changes(self, prompts, vector):
        """How a vector changes the last logits behind each prompt."""
        self.steer(None)
        plain = [last_logits(self.llm, tokens) for tokens in prompts]
        self.steer(vector)
        return [last_logits(self.llm, tokens) - before for tokens, before in zip(prompts, plain)]


def logits(model, tokens):
    """The last logits in transformers."""
    with torch.inference_mode():
        return model(torch.tensor([tokens]), use_cache=False).logits[0, -1].double().numpy()


def hooked_changes(model, prompts, vector):
    """The same as `Llama.changes` in transformers, with a hook behind each block."""
    plain = [logits(model, tokens) for tokens in prompts]
    hooks = []
    for tensor in gguf.GGUFReader(vector).tensors:
        offset = torch.from_numpy(np.array(tensor.data)) * SCALE
        block = model.model.layers[int(tensor.name.removeprefix("direction."))]
        hooks.append(block.register_forward_hook(
            lambda _block, _inputs, out, offset=offset: out + offset))
    steered = [logits(model, tokens) for tokens in prompts]
    for hook in hooks:
        hook.remove()
    return [after - before for after, before in zip(steered, plain)]


def cosine(a, b):
    """Of two vectors."""
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def our_vector(options, folder):
    """Extract and export with trimtab; the path of the GGUF."""
    vector, exported = options.out / "concise.safetensors", folder / "concise.gguf"
    if not options.keep:
        output([options.trimtab, "extract", "-q", "-m", options.gguf, "--data", options.data,
                "--method", "mean_difference", "--position", "mean_response", "--sites", SITES,
                "--select", "all", "--licence", "MIT OR Apache-2.0", "-o", vector])
    output([options.trimtab, "export", "-q", vector, "--to", "gguf", "-o", exported])
    digest = hashlib.sha256(exported.read_bytes()).hexdigest()
    (options.out / "concise.gguf.sha256").write_text(digest + "\n")
    return exported


def llama_part(options, llama, model, prompts):
    """llama.cpp's changes under our export."""
    with tempfile.TemporaryDirectory() as folder:
        exported = our_vector(options, Path(folder))
        changes = llama.changes(prompts, exported)
        floor = hooked_changes(model, prompts, exported)
    llama.steer(None)
    for index, (theirs, other) in enumerate(zip(changes, floor)):
        print(f"{index}: change {np.linalg.norm(theirs):.1f}, cosine of llama.cpp and transformers "
              f"{cosine(theirs, other):.4f}, on every {EVERY}th {cosine(theirs[::EVERY], other[::EVERY]):.4f}")
    return {f"{i}.llama_cpp": change[::EVERY].astype(np.float16) for i, change in enumerate(changes)}


def answered(llama, row, side):
    """Tokens of a pair's side, and where its answer lies."""
    begin, answer = llama.tokens(asked(row["prompt"])), llama.tokens(row[side])
    tokens = begin + answer + llama.tokens("<|im_end|>\n")
    return tokens, slice(len(begin), len(begin) + len(answer))


def mean_difference(llama, model, rows):
    """Mean over pairs of the answers' mean states behind block 15."""
    total = np.zeros(llama.width)
    for row in rows:
        for side, sign in (("chosen", 1), ("rejected", -1)):
            tokens, place = answered(llama, row, side)
            with torch.inference_mode():
                states = model(torch.tensor([tokens]), use_cache=False,
                               output_hidden_states=True).hidden_states[16]
            total += sign * states[0, place].double().mean(0).numpy()
    return (total / len(rows)).astype(np.float16)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--data", type=Path, default=Path("examples/data/concise.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("tests/golden/vectors"))
    parser.add_argument("--keep", action="store_true", help="leave concise.safetensors as it is")
    return parser.parse_args()


def main():
    """Write the goldens."""
    options = arguments()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in options.data.read_text().splitlines()][:PAIRS]
    llama, model = Llama(options.gguf), reference(options.gguf)
    prompts = [llama.tokens(asked(prompt)) for prompt in PROMPTS]
    found = {f"{i}.tokens": np.array(tokens, dtype=np.uint32) for i, tokens in enumerate(prompts)}
    found |= llama_part(options, llama, model, prompts)
    found["mean_difference"] = mean_difference(llama, model, rows)
    save_file(found, options.out / "reference.safetensors")
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"{size} bytes in {options.out}")


if __name__ == "__main__":
    main()
