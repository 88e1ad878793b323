#!/usr/bin/env python3
"""Throughput of the server beside trimtab's own benchmark and llama.cpp's batched decode, taking turns.

    target/oracle/bin/python scripts/bench_server.py --gguf FILE [--rows 16] [--rounds 5] [--tokens 256]

The server runs `--parallel ROWS` and is asked by as many clients on the same cores, each for answers of exactly so many
tokens (the end token is banned), streamed: what is counted is what clients receive, prompts left out. The two others decode as
many rows behind a context of 256 and do nothing else. The time to the first token at idle is compared with that of the same prompt
in one process (`generate`), which has neither HTTP nor a queue.

Needs `cargo build --release` and `cargo build --release -p trimtab-server --example load`.
"""

import argparse
import ctypes
import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import llama_cpp
from bench_peers import DEPTH, TOKENS, Peer
from rounds import alternate, bench, output, ratio_text, table_head, table_row

LOAD = Path("target/release/examples/load")
QUESTION = "What is the capital of France? Answer in one word."


def serve(options, rows):
    """A server on a free port; its process and address."""
    command = [str(options.trimtab), "serve", "--port", "0", "--no-state", "-m", str(options.gguf),
               "-t", str(options.threads), "--parallel", str(rows), "--kv-type", "f16",
               "--alias", "smollm2-135m-instruct"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        found = re.search(r"http://([0-9.]+:\d+)", line)
        if found:
            # Whoever does not read its log would stop it in the end.
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return process, found.group(1)
    raise RuntimeError("the server did not start")


def load(address, options):
    """Tokens a second that all clients receive together."""
    text = output([str(LOAD), address, "--streams", str(options.rows), "--seconds", str(options.seconds),
                   "--tokens", str(options.tokens), "--ban", "2"])
    return float(re.search(r": ([0-9.]+) tokens/s", text).group(1))


def prompt():
    """A text whose beginning nobody has seen, so that nothing of it is cached."""
    return f"{time.time_ns()} {QUESTION} " * 2


def over_http(connection):
    """Seconds to the first token of a streamed answer, on a connection that is open."""
    body = {"model": "smollm2-135m-instruct", "stream": True, "max_tokens": 2, "temperature": 0,
            "prompt": prompt()}
    body = json.dumps(body).encode()
    began = time.perf_counter()
    connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    while b'"text":"' not in answer.readline():
        pass
    seconds = time.perf_counter() - began
    answer.read()
    return seconds


def in_process(options):
    """Seconds to the first token without HTTP and without a queue."""
    command = [str(options.trimtab), "generate", "--json", "-q", "-m", str(options.gguf), "-t",
               str(options.threads), "--kv-type", "f16", "--raw", "-p", prompt(), "-n", "2",
               "--temp", "0"]
    return json.loads(output(command))["timings"]["prompt_s"]


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--tokens", type=int, default=256)
    return parser.parse_args()


def main():
    """Run every arm in turn and print the table."""
    options = arguments()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        str(options.gguf).encode(), llama_cpp.llama_model_default_params())
    peer = Peer(model, options.threads, options.rows, "f16")
    process, address = serve(options, options.rows)
    alone = ["-p", "0", "-n", str(TOKENS), "-d", str(DEPTH), "--batch", str(options.rows), "-r", "1",
             "--kv-type", "f16"]

    def ours():
        document = bench(options.trimtab, options.gguf, options.threads, alone)
        return document["results"][0]["avg_ts"]

    arms = {"server": lambda: load(address, options), "bench": ours, "llama.cpp": peer.decode}
    values = alternate(arms, options.rounds)
    table_head([f"{options.rows} rows", "tokens/s", "server to it"])
    for name, speeds in values.items():
        ratio = ratio_text(values["server"], speeds) if name != "server" else "–"
        table_row([name, f"{statistics.median(speeds):.0f}", ratio])
    connection = http.client.HTTPConnection(address)

    def warm():
        """A second request: the process's weights are in the caches too, because it has just read them."""
        over_http(connection)
        return over_http(connection)

    first = alternate({"http": warm, "process": lambda: in_process(options)}, 15)
    over, alone_s = (statistics.median(first[name]) * 1e3 for name in ("http", "process"))
    print(f"first token at idle: {over:.1f} ms over HTTP, {alone_s:.1f} ms in one process,"
          f" {over - alone_s:+.1f} ms; medians of 15")
    process.terminate()
    sys.exit(process.wait(60))


if __name__ == "__main__":
    main()
