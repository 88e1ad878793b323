#!/usr/bin/env python3
"""Compare Trimtab and llama.cpp on the default model, against f32 arithmetic.

Prints one table. KL is the mean over the positions of tests/golden/smollm2 of
KL(f32 reference || program), in nats, where the reference is the same GGUF in f32
under Hugging Face transformers: over the whole vocabulary; over the 256 ids kept in
the golden with all others as one bucket (what the Rust test computes); and, with
less noise, over the whole vocabulary at all positions of the same texts.
Perplexity is over the first 20,480 bytes of --text: no BOS, windows of 512 tokens
that do not overlap, a shorter last window left out, every token but a window's
first scored.

    python scripts/parity.py --gguf MODEL.gguf --text wiki.validation.raw.txt
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from golden_smollm2 import all_logits, reference

TEXT_BYTES = 20480
WINDOW = 512


def log_softmax(logits):
    """Log-probabilities in f64, over the last axis."""
    wide = np.asarray(logits, dtype=np.float64)
    wide = wide - wide.max(axis=-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def kl_full(reference_rows, rows):
    """KL of each row over the whole vocabulary."""
    p, q = log_softmax(reference_rows), log_softmax(rows)
    return (np.exp(p) * (p - q)).sum(axis=-1)


def kl_top(golden, index, rows):
    """KL of each row over the golden's ids and one bucket for the rest."""
    p = golden[f"{index}.top_logits"].astype(np.float64)
    p = p - golden[f"{index}.logsumexp"].astype(np.float64)[:, None]
    q = np.take_along_axis(log_softmax(rows), golden[f"{index}.top_ids"].astype(np.int64), axis=1)
    return (np.exp(p) * (p - q)).sum(axis=1) + rest(p, q)


def rest(p, q):
    """The rest bucket's share of the KL."""
    left, right = (np.maximum(1 - np.exp(x).sum(axis=1), 1e-12) for x in (p, q))
    return left * np.log(left / right)


def golden_texts(golden):
    """Yield (index, tokens, positions) of the golden's texts."""
    for index in range(sum(name.endswith(".tokens") for name in golden)):
        yield (index, golden[f"{index}.tokens"].astype(np.int64),
               golden[f"{index}.positions"].astype(np.int64))


def divergence(golden, references, logits_of):
    """Compare a program with the reference: the table's first four numbers."""
    everywhere, full, top, far = [], [], [], []
    for index, tokens, positions in golden_texts(golden):
        rows = logits_of(tokens)
        at_all = kl_full(references[index], rows)
        everywhere.extend(at_all)
        full.extend(at_all[positions])
        top.extend(kl_top(golden, index, rows[positions]))
        far.append(top_difference(golden, index, rows[positions]))
    return np.mean(full), np.mean(top), np.mean(everywhere), max(far)


def top_difference(golden, index, rows):
    """Largest difference of a logit among the golden's ids."""
    found = np.take_along_axis(rows, golden[f"{index}.top_ids"].astype(np.int64), axis=1)
    return abs(found - golden[f"{index}.top_logits"]).max()


def reference_logits(golden, model):
    """The reference's logits of every text; fails where the golden file says otherwise."""
    rows = {}
    for index, tokens, positions in golden_texts(golden):
        rows[index] = all_logits(model, tokens.tolist()).numpy()
        worst = top_difference(golden, index, rows[index][positions])
        if worst > 1e-3:
            raise ValueError(f"text {index} is {worst} away from the golden file")
    return rows


def open_llama(path):
    """Open the model as llama.cpp serves it: its own defaults, one thread."""
    from llama_cpp import Llama

    return Llama(str(path), n_ctx=WINDOW, n_batch=WINDOW, n_threads=1, n_threads_batch=1,
                 logits_all=True, verbose=False)


def llama_logits(model, tokens):
    """Logits of all positions from an empty cache, one pass."""
    model.reset()
    model.eval([int(token) for token in tokens])
    return np.array(model.scores[:len(tokens)])


def windows(tokens):
    """Cut tokens into full windows."""
    return [tokens[at:at + WINDOW] for at in range(0, len(tokens) - WINDOW + 1, WINDOW)]


def perplexity(tokens, logits_of):
    """Perplexity over full windows, without each window's first token."""
    losses = []
    for window in windows(tokens):
        scores = log_softmax(logits_of(window)[:-1])
        losses.extend(-np.take_along_axis(scores, np.array(window[1:])[:, None], axis=1)[:, 0])
    return float(np.exp(np.mean(losses)))


def excerpt(path):
    """The first bytes of a text, cut where a character ends."""
    return path.read_bytes()[:TEXT_BYTES].decode(errors="ignore")


def measure_llama(args, golden, references, model):
    """llama.cpp's row of the table."""
    tokens = text_tokens(args, model)
    kl = divergence(golden, references, lambda ids: llama_logits(model, ids))
    return *kl, perplexity(tokens, lambda ids: llama_logits(model, ids))


def text_tokens(args, model):
    """The measured text's ids, from llama.cpp's tokenizer."""
    return model.tokenize(excerpt(args.text).encode(), add_bos=False, special=False)


def trimtab_logits(args, tokens, *flags):
    """Logits of all positions from `trimtab capture`."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out.safetensors"
        ids = ",".join(str(token) for token in tokens)
        run([args.trimtab, "capture", "-m", args.gguf, *flags,
             "--token-ids", ids, "--logits", "-o", out])
        tensors = load_file(out)
    if tensors["0.tokens"].tolist() != list(tokens):
        raise ValueError("capture answered for other tokens")
    return tensors["0.logits"]


def trimtab_perplexity(args, *flags):
    """The field `ppl` of `trimtab perplexity`."""
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch) / "text.txt"
        text.write_text(excerpt(args.text), newline="")
        answer = run([args.trimtab, "perplexity", "-m", args.gguf, *flags,
                      "-f", text, "-c", str(WINDOW), "--json"])
    return json.loads(answer)["ppl"]


def run(command):
    """Run a program and return what it prints."""
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def measure_trimtab(args, golden, references, *flags):
    """A row of the table for Trimtab as it serves."""
    kl = divergence(golden, references, lambda ids: trimtab_logits(args, ids, *flags))
    return *kl, trimtab_perplexity(args, *flags)


def measure_dequantised(args, golden, references):
    """Trimtab's row of the table with f32 weights."""
    kl = divergence(golden, references, lambda ids: trimtab_logits(args, ids, "--dequantize"))
    return *kl, float("nan")


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gguf", type=Path, required=True, help="SmolLM2-135M-Instruct Q4_1")
    parser.add_argument("--text", type=Path, required=True, help="WikiText-2 raw validation text")
    parser.add_argument("--golden", type=Path,
                        default=Path("tests/golden/smollm2/reference.safetensors"))
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    return parser.parse_args()


def print_row(name, numbers):
    """Print one row of the table; a number that was not measured is a dash."""
    cells = ("–" if np.isnan(number) else f"{number:.6f}" for number in numbers)
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    """Measure and print the table."""
    args = arguments()
    torch.set_num_threads(1)
    golden = load_file(args.golden)
    model, peer = reference(args.gguf), open_llama(args.gguf)
    references = reference_logits(golden, model)
    exact = perplexity(text_tokens(args, peer), lambda ids: all_logits(model, list(ids)).numpy())
    print("| program | KL | KL, top 256 + rest | KL, all positions | largest difference, top 256 "
          "| perplexity |")
    print("| --- | --: | --: | --: | --: | --: |")
    print_row("f32 reference", (0.0, 0.0, 0.0, 0.0, exact))
    print_row("llama.cpp", measure_llama(args, golden, references, peer))
    if not args.trimtab.exists():
        print(f"{args.trimtab} does not exist: not measured")
        return
    print_row("trimtab", measure_trimtab(args, golden, references))
    print_row("trimtab --kv-type f16",
              measure_trimtab(args, golden, references, "--kv-type", "f16"))
    print_row("trimtab --dequantize", measure_dequantised(args, golden, references))


if __name__ == "__main__":
    main()
