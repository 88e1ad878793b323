"""Speed of trimtab beside llama.cpp: one file, the same tests, alternating, ratios of medians.

    target/oracle/bin/python scripts/bench_peers.py --gguf FILE [--threads 2] [--rounds 7]

llama.cpp is llama-cpp-python's build (scripts/requirements-oracle.txt) driven through its low-level calls, so that no
Python runs between tokens but one call; trimtab is its own `bench --json`. Both run on random tokens: speed does not
depend on which. Run it on a quiet machine: both programs' threads spin while they wait for each other.
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import time
from pathlib import Path

import llama_cpp

PREFILL = 512
DEPTH = 256
TOKENS = 64


class Peer:
    """A llama.cpp context for `rows` sequences."""

    def __init__(self, model, threads, rows):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = rows * (DEPTH + TOKENS) + PREFILL
        params.n_batch = params.n_ubatch = PREFILL
        params.n_seq_max = rows
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.rows = rows
        self.batch = llama_cpp.llama_batch_init(PREFILL, 0, 1)

    def clear(self):
        """Forgets every sequence."""
        llama_cpp.llama_memory_clear(self.memory, True)

    def run(self, tokens):
        """One pass over (token, position, sequence, wants logits)."""
        self.batch.n_tokens = len(tokens)
        for i, (token, position, sequence, logits) in enumerate(tokens):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = logits
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")

    def prefill(self):
        """Tokens a second over one prompt."""
        self.clear()
        prompt = [(i % 1000 + 100, i, 0, i == PREFILL - 1) for i in range(PREFILL)]
        began = time.perf_counter()
        self.run(prompt)
        llama_cpp.llama_synchronize(self.context)
        return PREFILL / (time.perf_counter() - began)

    def decode(self):
        """Tokens a second over all rows, each at the depth."""
        self.clear()
        for row in range(self.rows):
            self.run([(i % 1000 + 100, i, row, i == DEPTH - 1) for i in range(DEPTH)])
        began = time.perf_counter()
        for step in range(TOKENS):
            self.run([(step + 200, DEPTH + step, row, True) for row in range(self.rows)])
            llama_cpp.llama_get_logits_ith(self.context, 0)
        llama_cpp.llama_synchronize(self.context)
        return self.rows * TOKENS / (time.perf_counter() - began)


def trimtab(program, gguf, threads, arguments):
    """Tokens a second of one test of trimtab's own benchmark."""
    command = [program, "bench", "-q", "--json", "-m", gguf, "-t", str(threads), "-r", "1", *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["results"][0]["avg_ts"]


def tests(model, options):
    """Name, llama.cpp's run, trimtab's run."""
    ours = [str(options.trimtab), str(options.gguf), options.threads]
    peers = {rows: Peer(model, options.threads, rows) for rows in options.rows}
    one = peers[options.rows[0]]
    yield "prefill 512", one.prefill, lambda: trimtab(*ours, ["-p", str(PREFILL), "-n", "0"])
    for rows, peer in peers.items():
        arguments = ["-p", "0", "-n", str(TOKENS), "-d", str(DEPTH), "--batch", str(rows)]
        name = f"decode at {DEPTH}, {rows} row{'s' if rows > 1 else ''}"
        yield name, peer.decode, lambda a=arguments: trimtab(*ours, a)


def row(name, theirs, ours):
    """A line of the table."""
    ratios = sorted(o / t for o, t in zip(ours, theirs))
    middle = statistics.median(ours) / statistics.median(theirs)
    return (f"| {name} | {statistics.median(theirs):.0f} | {statistics.median(ours):.0f} "
            f"| {middle:.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |")


def main():
    """Runs every test in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(options.gguf).encode(), llama_cpp.llama_model_default_params())
    print(f"{options.threads} threads, {options.rounds} rounds, tokens a second, medians")
    print("| test | llama.cpp | trimtab | ratio | of single rounds |")
    print("| --- | --: | --: | --: | --: |")
    for name, peer, ours in tests(model, options):
        peer()
        rounds = [(peer(), ours()) for _ in range(options.rounds)]
        print(row(name, [r[0] for r in rounds], [r[1] for r in rounds]), flush=True)


if __name__ == "__main__":
    main()
