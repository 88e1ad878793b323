#!/usr/bin/env python3
"""Start, memory and long prompts of trimtab.

    target/oracle/bin/python scripts/bench_prompts.py --gguf FILE [--threads 2] [--rounds 3]
        [--limits | --madds-rate G]

First the time from the start of the program to the logits of a 32-token prompt with nothing warmed up but the file
cache, and the peak of resident memory beside the file and the pool of keys and values. Then the same for prompts of
512 to 8,000 tokens, each in a process of its own, the lengths in turn.

Attention multiplies twice per head value and key seen, so what it costs a token grows with the length of its prompt
and everything else does not. `expected` is the time of a token at the first length, and what attention's further
multiply-adds take at half of the machine's peak rate of f32 multiply-adds, which is measured (`--limits`, the same
`cargo bench --bench limits` as in bench_peers.py) or given (`--madds-rate`, in 10^9 a second, of all threads together).
Nothing is fitted to the other lengths: where `of expected` is above 1, prompts slow down more than that arithmetic.

`memory/token` is what the peak grew by since the length before, for each further token; keys and values (`pool/token`)
are part of it. It stays the same where memory is linear in the length.
"""

import argparse
import statistics
import time
from pathlib import Path

import gguf
from rounds import bench, measure_limits, table_head, table_row

START = 32


class Measured:
    """Medians of some processes that each run one prompt once."""

    def __init__(self, options, tokens, flags):
        self.options, self.tokens, self.flags = options, tokens, flags
        self.documents, self.walls = [], []

    def run(self):
        """One more process."""
        began = time.perf_counter()
        self.documents.append(bench(self.options.trimtab, self.options.gguf, self.options.threads,
                                    ["-p", str(self.tokens), "-n", "0", "-r", "1", *self.flags]))
        self.walls.append(time.perf_counter() - began)

    def finish(self):
        """Make the medians."""
        lines = [document["results"][0] for document in self.documents]
        self.wall = statistics.median(self.walls)
        self.load = statistics.median(document["load_s"] for document in self.documents)
        self.seconds = statistics.median(line["first_token_s"] for line in lines)
        self.peak = max(line["peak_rss_bytes"] for line in lines)
        self.pool = self.documents[0]["memory"]["kv_bytes"]

    def token_s(self):
        """Seconds of a token."""
        return self.seconds / self.tokens

    def memory(self, file):
        """The peak, the pool, and the first beside the file and the second."""
        share = (self.peak - self.pool) / file
        return [f"{self.peak / 1e6:.0f} MB", f"{self.pool / 1e6:.0f} MB", f"{share:.2f}"]


def in_turn(cases, rounds):
    """Run cases one after another, so many times."""
    for _ in range(rounds):
        for case in cases:
            case.run()
    for case in cases:
        case.finish()
    return cases


def attention_madds(path):
    """Multiply-adds of attention for a token and a key that it sees, where every block attends to everything."""
    fields = gguf.GGUFReader(path).fields
    arch = fields["general.architecture"].contents()

    def number(key):
        return fields[f"{arch}.{key}"].contents()

    if f"{arch}.attention.key_length" in fields:
        width = number("attention.head_count") * number("attention.key_length")
    else:
        width = number("embedding_length")
    return number("block_count") * width * 2


def half_peak(options):
    """Half of the peak rate of f32 multiply-adds; None where no rate was asked for."""
    if options.madds_rate:
        peak = options.madds_rate * 1e9
    elif options.limits:
        limits = measure_limits()
        if options.threads not in limits:
            raise SystemExit(f"no limits with {options.threads} threads: give --madds-rate")
        peak = limits[options.threads]["f32_madds_per_s"]
    else:
        return None
    print(f"attention at half the peak rate: {peak / 2e9:.0f} G multiply-adds/s\n")
    return peak / 2


def expected_s(first, now, madds, rate):
    """Seconds of a token if attention's further multiply-adds, over half the prompt's keys, take this rate."""
    return first.token_s() + madds * (now.tokens - first.tokens) / 2 / rate


def curve(options, file):
    """Print the table of long prompts."""
    rate, madds = half_peak(options), attention_madds(options.gguf)
    context = str(max(8192, *options.tokens))
    lengths = [Measured(options, tokens, ["-c", context]) for tokens in sorted(options.tokens)]
    lengths = in_turn(lengths, options.rounds)
    table_head(["prompt", "tokens/s", "us/token", "expected at half the peak rate", "of expected",
                "peak memory", "pool", "(peak - pool) / file", "memory/token", "pool/token"])
    for i, now in enumerate(lengths):
        expected = ["–", "–"]
        if rate:
            most = expected_s(lengths[0], now, madds, rate)
            expected = [f"{1e6 * most:.0f}", f"{now.token_s() / most:.2f}"]
        growth = ["–", "–"]
        if i > 0:
            before = lengths[i - 1]
            further = now.tokens - before.tokens
            growth = [f"{(now.peak - before.peak) / further / 1e3:.1f} kB",
                      f"{(now.pool - before.pool) / further / 1e3:.1f} kB"]
        table_row([str(now.tokens), f"{1 / now.token_s():.0f}", f"{1e6 * now.token_s():.0f}",
                   *expected, *now.memory(file), *growth])


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="at least 3")
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8000])
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("--limits", action="store_true", help="measure the peak rate")
    rate.add_argument("--madds-rate", type=float, metavar="G",
                      help="the peak rate, 10^9 f32 multiply-adds a second of all threads")
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error("--rounds: a median needs at least 3")
    if options.madds_rate is not None and options.madds_rate <= 0:
        parser.error("--madds-rate: a rate is above 0")
    return options


def main():
    """Measure the start, then the curve."""
    options = arguments()
    file = options.gguf.stat().st_size
    print(f"{options.threads} threads, medians of {options.rounds} processes, "
          f"file {file / 1e6:.0f} MB\n")
    table_head(["start", "whole process", "load", "first token", "load + first token",
                "peak memory", "pool", "(peak - pool) / file"])
    [start] = in_turn([Measured(options, START, ["--no-warmup"])], options.rounds)
    table_row([f"{START} tokens", f"{start.wall:.2f} s", f"{start.load:.2f} s",
               f"{start.seconds:.3f} s", f"{start.load + start.seconds:.2f} s",
               *start.memory(file)])
    print()
    curve(options, file)


if __name__ == "__main__":
    main()
