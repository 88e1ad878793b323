#!/usr/bin/env python3
"""The cost of steering: trimtab beside Hugging Face transformers with the hooks of `steering-vectors`.

    target/oracle/bin/python scripts/bench_hooks.py --gguf FILE [--threads 2] [--rounds 7] [--rows 1 16]

Both run the same weights (transformers in f32, from the GGUF) with one vector added behind every block, and plain, in
turn. Decode is timed behind a context of 256, prefill over 512 tokens; hooks act on every position of both.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from golden_smollm2 import reference
from rounds import alternate, bench, ratio_text, table_head, table_row
from steering_vectors import SteeringVector
from transformers import DynamicCache

PREFILL = 512
DEPTH = 256
TOKENS = 64
LENGTH = 0.5


class Hooked:
    """The model in transformers, with hooks or without."""

    def __init__(self, path):
        self.model = reference(path)
        self.model.set_attn_implementation("sdpa")
        config = self.model.config
        vector = torch.randn(config.hidden_size, generator=torch.Generator().manual_seed(1))
        vector *= LENGTH / vector.norm()
        self.vector = SteeringVector({l: vector for l in range(config.num_hidden_layers)})
        self.check()

    def check(self):
        """Fails unless the hooks act: a library for older versions may find nothing to hook."""
        plain = self.run(self.prompt(8, 1), DynamicCache())
        with self.vector.apply(self.model):
            steered = self.run(self.prompt(8, 1), DynamicCache())
        if torch.equal(plain, steered):
            raise SystemExit("the hooks change nothing")

    def prompt(self, count, rows):
        """Token ids of every row."""
        return torch.arange(100, 100 + count)[None].expand(rows, -1)

    def run(self, tokens, cache):
        """Logits of the last position after one pass."""
        with torch.inference_mode():
            return self.model(tokens, past_key_values=cache, use_cache=True,
                              logits_to_keep=1).logits

    def prefill(self, _rows):
        """Tokens a second over one prompt."""
        began = time.perf_counter()
        self.run(self.prompt(PREFILL, 1), DynamicCache())
        return PREFILL / (time.perf_counter() - began)

    def decode(self, rows):
        """Tokens a second over all rows."""
        cache = DynamicCache()
        self.run(self.prompt(DEPTH, rows), cache)
        began = time.perf_counter()
        for step in range(TOKENS):
            self.run(torch.full((rows, 1), 200 + step), cache)
        return rows * TOKENS / (time.perf_counter() - began)

    def steered(self, run, rows):
        """The same under hooks."""
        with self.vector.apply(self.model):
            return run(rows)


class Ours:
    """Trimtab; a call runs plain, steered, plain, and the next turn reads what it left."""

    def __init__(self, options, arguments):
        self.options, self.arguments = options, arguments
        self.lines = []

    def steered(self):
        """Tokens a second of the steered run between two plain ones."""
        self.lines = bench(self.options.trimtab, self.options.gguf, self.options.threads,
                           [*self.arguments, "-r", "1", "--beside", "steered"])["results"]
        return self.lines[1]["avg_ts"]

    def plain(self):
        """Tokens a second of the plain runs around it."""
        return self.lines[0]["avg_ts"]


def arms(hooked, options, rows):
    """The four arms of a test; rows is 0 for a prompt."""
    if rows:
        run = hooked.decode
        arguments = ["-p", "0", "-n", str(TOKENS), "-d", str(DEPTH), "--batch", str(rows)]
    else:
        run, arguments = hooked.prefill, ["-p", str(PREFILL), "-n", "0"]
    ours = Ours(options, arguments)
    return {"plain": lambda: run(rows), "hooks": lambda: hooked.steered(run, rows),
            "trimtab steered": ours.steered, "trimtab plain": ours.plain}


def main():
    """Run every test in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    hooked = Hooked(options.gguf)
    print(f"{options.threads} threads, {options.rounds} rounds, tokens a second, medians\n")
    names = ["plain", "hooks", "trimtab plain", "trimtab steered"]
    table_head(["test", *names, "hooks to plain", "trimtab steered to plain", "steered to hooks"])
    for rows in [0, *options.rows]:
        values = alternate(arms(hooked, options, rows), options.rounds)
        test = f"decode at {DEPTH}, rows: {rows}" if rows else f"prefill {PREFILL}"
        table_row([test, *(f"{statistics.median(values[name]):.1f}" for name in names),
                   ratio_text(values["hooks"], values["plain"]),
                   ratio_text(values["trimtab steered"], values["trimtab plain"]),
                   ratio_text(values["trimtab steered"], values["hooks"])])


if __name__ == "__main__":
    main()
