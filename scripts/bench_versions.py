#!/usr/bin/env python3
"""Speed of two builds of trimtab in turns: `bench` of the old one, then of the new one, on the same machine.

    python3 scripts/bench_versions.py OLD NEW --gguf FILE [--threads 2] [--rounds 7]

Needs nothing but the two programs. Speed does not depend on which tokens are run, so they are random.
"""

import argparse
import statistics
from pathlib import Path

from rounds import alternate, bench, ratio_text, table_head, table_row

TESTS = {
    "prompt of 128": ["-p", "128", "-n", "0"],
    "decode of 24": ["-p", "0", "-n", "24"],
    "decode of 12, 8 rows": ["-p", "0", "-n", "12", "--batch", "8"],
}


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    def speed(program, test):
        document = bench(program, args.gguf, args.threads, ["-r", "3", *test])
        return document["results"][0]["median_ts"]

    table_head(["test", "old, tokens/s", "new, tokens/s", "ratio (single rounds)"])
    for name, test in TESTS.items():
        arms = {"old": lambda t=test: speed(args.old, t), "new": lambda t=test: speed(args.new, t)}
        values = alternate(arms, args.rounds)
        old, new = values["old"], values["new"]
        table_row([name, f"{statistics.median(old):.0f}", f"{statistics.median(new):.0f}", ratio_text(new, old)])


if __name__ == "__main__":
    main()
