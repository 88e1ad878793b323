#!/usr/bin/env python3
"""Speed of trimtab beside llama.cpp, and ik_llama.cpp where it is built: one file, the same tests, alternating.

    target/oracle/bin/python scripts/bench_peers.py --gguf FILE... [--threads 1 2] [--rounds 7]
        [--kv-type f16] [--ik LLAMA_BENCH] [--limits] [--json FILE]

llama.cpp is llama-cpp-python's build (scripts/requirements-oracle.txt) driven through its low-level calls, so that no
Python runs between tokens but one call; trimtab is its own `bench --json`; ik_llama.cpp its own llama-bench, which
knows no batches. All run on random tokens: speed does not depend on which. Decode is timed behind a context of 256.
Run it on a quiet machine: the programs' threads spin while they wait for each other.

All keep keys and values as f16, what llama.cpp keeps by default; with `--kv-type f32` llama.cpp and trimtab keep f32,
and ik_llama.cpp is left out.

`--limits` measures what the machine can do (`cargo bench --bench limits`) and prints trimtab's share of it: bytes of
weights × tokens a second over what memory gives for decode, int8 multiply-adds of the products over what the vector
units give for prefill.
"""

import argparse
import ctypes
import json
import shutil
import statistics
import time
from pathlib import Path

import gguf
import llama_cpp
from rounds import alternate, bench, measure_limits, output, ratio_text, table_head, table_row

PREFILL = 512
DEPTH = 256
TOKENS = 64
KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}


class Peer:
    """A llama.cpp context for `rows` sequences."""

    def __init__(self, model, threads, rows, kv_type):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = rows * (DEPTH + TOKENS) + PREFILL
        params.n_batch = params.n_ubatch = PREFILL
        params.n_seq_max = rows
        params.type_k = params.type_v = KV_TYPES[kv_type]
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.rows = rows
        self.batch = llama_cpp.llama_batch_init(PREFILL, 0, 1)
        self.is_deep = False

    def close(self):
        """Gives its memory and its threads back."""
        llama_cpp.llama_batch_free(self.batch)
        llama_cpp.llama_free(self.context)

    def rewind(self):
        """Every sequence at the depth, which is read once."""
        if not self.is_deep:
            for row in range(self.rows):
                self.run([(i % 1000 + 100, i, row, i == DEPTH - 1) for i in range(DEPTH)])
            self.is_deep = True
        for row in range(self.rows):
            llama_cpp.llama_memory_seq_rm(self.memory, row, DEPTH, -1)

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
        llama_cpp.llama_memory_clear(self.memory, True)
        prompt = [(i % 1000 + 100, i, 0, i == PREFILL - 1) for i in range(PREFILL)]
        began = time.perf_counter()
        self.run(prompt)
        llama_cpp.llama_synchronize(self.context)
        return PREFILL / (time.perf_counter() - began)

    def decode(self):
        """Tokens a second over all rows, each at the depth."""
        self.rewind()
        llama_cpp.llama_synchronize(self.context)
        began = time.perf_counter()
        for step in range(TOKENS):
            self.run([(step + 200, DEPTH + step, row, True) for row in range(self.rows)])
            llama_cpp.llama_get_logits_ith(self.context, 0)
        llama_cpp.llama_synchronize(self.context)
        return self.rows * TOKENS / (time.perf_counter() - began)


class Model:
    """A file: its size in products, and its runs in each program."""

    def __init__(self, path, options):
        self.path, self.options = path, options
        self.name = path.stem.rsplit(".", maxsplit=1)[-1]
        self.llama = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params())
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        head = tensors.get("output.weight", tensors["token_embd.weight"])
        blocks = [t for name, t in tensors.items() if name.startswith("blk.") and len(t.shape) > 1]
        self.bytes = sum(int(t.n_bytes) for t in [head, *blocks])
        self.madds = sum(int(t.n_elements) for t in blocks) + int(head.n_elements) / PREFILL

    def trimtab(self, threads, arguments):
        """Tokens a second of one test of trimtab's own benchmark."""
        arguments = [*arguments, "-r", "1", "--kv-type", self.options.kv_type]
        document = bench(self.options.trimtab, self.path, threads, arguments)
        return document["results"][0]["avg_ts"]

    def ik(self, threads, arguments):
        """Tokens a second of one test of ik_llama.cpp's llama-bench."""
        command = [str(self.options.ik), "-m", str(self.path), "-t", str(threads), "-r", "1",
                   "-o", "json", *self.options.ik_flags.split(), *arguments]
        return json.loads(output(command))[-1]["avg_ts"]

    def tests(self, threads):
        """Name, rows (0 for a prompt) and the arms of each test."""
        one = Peer(self.llama, threads, 1, self.options.kv_type)
        yield f"prefill {PREFILL}", 0, self.arms(
            one.prefill, threads, ["-p", str(PREFILL), "-n", "0"], ["-p", str(PREFILL), "-n", "0"])
        one.close()
        for rows in self.options.rows:
            peer = Peer(self.llama, threads, rows, self.options.kv_type)
            ours = ["-p", "0", "-n", str(TOKENS), "-d", str(DEPTH), "--batch", str(rows)]
            theirs = ["-p", "0", "-n", "0", "-gp", f"{DEPTH},{TOKENS}"] if rows == 1 else None
            name = f"decode at {DEPTH}, {rows} row{'s' if rows > 1 else ''}"
            yield name, rows, self.arms(peer.decode, threads, ours, theirs)
            peer.close()

    def arms(self, llama, threads, ours, theirs):
        """The programs that can run a test, in the order of their turns."""
        arms = {"llama.cpp": llama, "trimtab": lambda: self.trimtab(threads, ours)}
        if self.options.ik and theirs and self.options.kv_type == "f16":
            arms["ik_llama.cpp"] = lambda: self.ik(threads, theirs)
        return arms

    def share(self, rows, speed, limits):
        """Trimtab's share of the machine's limit; a batch reads the weights once for all its rows."""
        if not limits:
            return "–"
        if rows == 0:
            return f"{100 * speed * self.madds / limits['int8_madds_per_s']:.0f} %"
        return f"{100 * speed / rows * self.bytes / limits['read_bytes_per_s']:.0f} %"


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, nargs="+", required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--kv-type", choices=sorted(KV_TYPES), default="f16",
                        help="how keys and values are kept [default: what llama.cpp keeps by default]")
    parser.add_argument("--ik", type=Path, help="ik_llama.cpp's llama-bench")
    parser.add_argument("--ik-flags", default="", help="more of its flags, in one word")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--limits", action="store_true", help="print shares of the machine's limits")
    parser.add_argument("--json", type=Path, help="write every round to this file")
    options = parser.parse_args()
    for flag, program in (("--trimtab", options.trimtab), ("--ik", options.ik)):
        if program and not shutil.which(program):
            parser.error(f"{flag}: {program} is no program")
    return options


def median_text(values):
    """A speed for the table."""
    return f"{statistics.median(values):.0f}" if values else "–"


def report(model, threads, test, values, limit):
    """Print a test's line."""
    name, rows = test
    ours, theirs, ik = (values.get(n) for n in ("trimtab", "llama.cpp", "ik_llama.cpp"))
    table_row([f"{model.name}, {threads} thread{'s' if threads > 1 else ''}, {name}",
               median_text(theirs), median_text(ik), median_text(ours), ratio_text(ours, theirs),
               ratio_text(ours, ik) if ik else "–",
               model.share(rows, statistics.median(ours), limit)])


def main():
    """Run every test in turn and print the table."""
    options = arguments()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    limits, everything = measure_limits() if options.limits else {}, []
    print(f"{options.rounds} rounds, tokens a second, medians; ratios with their range over rounds;"
          f" keys and values as {options.kv_type}\n")
    table_head(["test", "llama.cpp", "ik_llama.cpp", "trimtab", "to llama.cpp", "to ik_llama.cpp",
                "of the limit"])
    for model in (Model(path, options) for path in options.gguf):
        for threads in options.threads:
            for name, rows, arms in model.tests(threads):
                values = alternate(arms, options.rounds)
                report(model, threads, (name, rows), values, limits.get(threads))
                everything.append({"model": model.path.name, "threads": threads, "test": name,
                                   "rows": rows, "tokens_per_s": values})
    if options.json:
        text = json.dumps({"limits": list(limits.values()), "kv_type": options.kv_type,
                           "tests": everything}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
