#!/usr/bin/env python3
"""Start, memory and long prompts of trimtab.

    target/oracle/bin/python scripts/bench_prompts.py --gguf FILE [--threads 2] [--rounds 3]

First the time from the start of the program to the logits of a 32-token prompt with nothing warmed up but the file
cache, and the peak of resident memory beside the file and the pool of keys and values. Then the same for prompts of
512 to 8,000 tokens, each in a process of its own: speed, and how much slower a token is than at 512. Attention
multiplies twice per head value and key seen, so a prompt of n tokens costs a·n for products and b·n² for attention;
both are fitted to the measurements, and `explained` is the fit's slowdown. What is slower than that is not arithmetic.
"""

import argparse
import statistics
import time
from pathlib import Path

import gguf
import numpy as np
from rounds import bench, table_head, table_row

START = 32


class Measured:
    """Medians of some processes that each run one prompt once."""

    def __init__(self, options, tokens, flags):
        self.tokens = tokens
        documents, wall = [], []
        for _ in range(options.rounds):
            began = time.perf_counter()
            documents.append(bench(options.trimtab, options.gguf, options.threads,
                                   ["-p", str(tokens), "-n", "0", "-r", "1", *flags]))
            wall.append(time.perf_counter() - began)
        lines = [document["results"][0] for document in documents]
        self.wall = statistics.median(wall)
        self.load = statistics.median(document["load_s"] for document in documents)
        self.seconds = statistics.median(line["first_token_s"] for line in lines)
        self.peak = max(line["peak_rss_bytes"] for line in lines)
        self.pool = documents[0]["memory"]["kv_bytes"]

    def memory(self, file):
        """The peak, the pool, and the first beside the file and the second."""
        share = (self.peak - self.pool) / file
        return [f"{self.peak / 1e6:.0f} MB", f"{self.pool / 1e6:.0f} MB", f"{share:.2f}"]


def fit(measured):
    """Seconds per token and per squared token, by least squares of relative errors."""
    n = np.array([m.tokens for m in measured], dtype=np.float64)
    seconds = np.array([m.seconds for m in measured])
    design = np.stack([n, n * n], axis=1) / seconds[:, None]
    return np.linalg.lstsq(design, np.ones(len(n)), rcond=None)[0]


def attention_madds(path):
    """Multiply-adds of attention in a prompt of n tokens, as a factor of n²."""
    fields = gguf.GGUFReader(path).fields
    arch = fields["general.architecture"].contents()

    def number(key):
        return fields[f"{arch}.{key}"].contents()

    width = number("embedding_length")
    # Two products per head value, over n / 2 keys on average.
    return number("block_count") * width * 2 / 2


def curve(options, file):
    """Print the table of long prompts."""
    measured = [Measured(options, tokens, ["-c", str(max(8192, tokens))])
                for tokens in options.tokens]
    a, b = fit(measured)
    table_head(["prompt", "tokens/s", "slowdown", "explained", "peak memory", "pool",
                "(peak - pool) / file"])
    first = measured[0]
    for m in measured:
        slowdown = m.seconds / m.tokens / (first.seconds / first.tokens)
        explained = (a + b * m.tokens) / (a + b * first.tokens)
        table_row([str(m.tokens), f"{m.tokens / m.seconds:.0f}", f"{slowdown:.2f}",
                   f"{explained:.2f}", *m.memory(file)])
    if b > 0:
        rate = attention_madds(options.gguf) / b / 1e9
        print(f"\nfit: products {1 / a:.0f} tokens/s, attention {rate:.0f} G multiply-adds/s")


def main():
    """Measure the start, then the curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8000])
    options = parser.parse_args()
    file = options.gguf.stat().st_size
    print(f"{options.threads} threads, medians of {options.rounds} processes, "
          f"file {file / 1e6:.0f} MB\n")
    table_head(["start", "whole process", "load", "first token", "load + first token",
                "peak memory", "pool", "(peak - pool) / file"])
    start = Measured(options, START, ["--no-warmup"])
    table_row([f"{START} tokens", f"{start.wall:.2f} s", f"{start.load:.2f} s",
               f"{start.seconds:.3f} s", f"{start.load + start.seconds:.2f} s",
               *start.memory(file)])
    print()
    curve(options, file)


if __name__ == "__main__":
    main()
