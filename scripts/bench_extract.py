#!/usr/bin/env python3
"""The cost of an extraction: trimtab beside `steering-vectors` and repeng, on the same pairs, in turn.

    target/oracle/bin/python scripts/bench_extract.py --gguf FILE [--threads 2] [--rounds 3] [--modes palrs]
        [--repeng pca_diff pca_center] [--work DIR]

Every arm is a process of its own, so that a round has the whole price of a vector: start, imports, model, extraction.
The second figure of an arm is the extraction alone, as the program measures it itself. The peers run transformers in
f32 on the weights of the GGUF, saved once under --work, in batches of 8, on the texts trimtab renders: each answer as a
user's message (palrs), or question and answer (mean_difference). All read all blocks. The peers read the last token;
trimtab reads each of the template's last tokens, with mean_difference the mean over the answer too, chooses a site by
pairs it did not fit on, and measures the stream's length on neutral text.

Tokens: a peer's are those of its texts and, with padding, those its model runs. Trimtab's are counted here by the rule
of steering/src/extract/read.rs: what all texts or the two of a pair begin with runs once.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rounds import output, table_head, table_row

POSITIONS = {"palrs": "response_as_user", "mean_difference": "dialogue_tail"}
# steering/src/extract: fewer shared tokens run again, and neutral text is read for the stream's length.
WORTH_SHARING = 4
NORM_TOKENS = 512


def render(tokenizer, mode, prompt, answer):
    """A pair's side as text, and how much of it no arm reads."""
    if mode == "palrs":
        talk, asks = [{"role": "user", "content": answer}], True
        start = f"<|im_start|>user\n{answer}"
    else:
        question = {"role": "user", "content": prompt}
        talk, asks = [question, {"role": "assistant", "content": answer}], False
        start = tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=asks)
    return text, text.index(start) + len(start)


def texts(tokenizer, mode, data):
    """Both sides of every pair, positive first, and the tokens trimtab runs for them."""
    sides, shared = [], []
    for row in map(json.loads, data.read_text().splitlines()):
        pair = [render(tokenizer, mode, row["prompt"], row[side]) for side in ("chosen", "rejected")]
        sides.append([text for text, _ in pair])
        shared.append([(tokenizer(text)["input_ids"], len(tokenizer(text[:unread])["input_ids"]))
                       for text, unread in pair])
    return sides, computed(shared)


def everywhere(rows):
    """How many tokens all rows begin with and none reads."""
    first = rows[0][0]
    ends = []
    for tokens, unread in rows:
        pairs = zip(first, tokens)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(tokens)))
        ends.append(min(same, unread))
    return min(ends)


def computed(pairs):
    """Tokens that trimtab runs."""
    stem = everywhere([row for pair in pairs for row in pair])
    stem = stem if stem >= WORTH_SHARING else 0
    total = stem + NORM_TOKENS
    for pair in pairs:
        shared = everywhere(pair)
        begin = shared if shared - stem >= WORTH_SHARING else stem
        total += begin - stem + sum(len(tokens) - begin for tokens, _ in pair)
    return total


def prepare(options):
    """Save the GGUF's model and tokenizer where transformers loads them."""
    from golden_smollm2 import reference
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.gguf.parent, gguf_file=options.gguf.name)
    model = reference(options.gguf)
    model.save_pretrained(options.work)
    tokenizer.save_pretrained(options.work)


def peer(options):
    """One arm of a peer, in this process; its times and tokens as one line of JSON."""
    began = time.perf_counter()
    import numpy
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    numpy.float_ = numpy.float64  # repeng 0.4.0 names a type that NumPy 2 took away
    train = {"steering-vectors": steering_vectors, "repeng": repeng}[options.peer]()
    torch.set_num_threads(options.threads)
    loading = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(options.work)
    model = AutoModelForCausalLM.from_pretrained(options.work, dtype=torch.float32).eval()
    seen = {"tokens": 0, "padded": 0}
    model.register_forward_pre_hook(lambda *given: count(seen, given[2]), with_kwargs=True)
    pairs = json.loads(options.texts.read_text())
    training = time.perf_counter()
    rows = train(model, tokenizer, pairs, options)
    ended = time.perf_counter()
    layers = model.config.num_hidden_layers
    if len(rows) != layers or any(not torch.isfinite(torch.as_tensor(row)).all() for row in rows):
        raise SystemExit(f"{len(rows)} directions, or numbers that are none")
    print(json.dumps({"import": loading - began, "load": training - loading,
                      "extract": ended - training, **seen}))


def count(seen, given):
    """Add a batch to what a model has seen."""
    seen["tokens"] += int(given["attention_mask"].sum())
    seen["padded"] += given["input_ids"].numel()


def steering_vectors():
    """Import the library and give what trains with it."""
    from steering_vectors import train_steering_vector

    def train(model, tokenizer, pairs, options):
        vector = train_steering_vector(model, tokenizer, [tuple(pair) for pair in pairs],
                                       batch_size=options.batch)
        return list(vector.layer_activations.values())

    return train


def repeng():
    """The same for repeng."""
    from repeng import ControlVector, DatasetEntry

    def train(model, tokenizer, pairs, options):
        data = [DatasetEntry(positive, negative) for positive, negative in pairs]
        blocks = list(range(model.config.num_hidden_layers))
        vector = ControlVector.train(model, tokenizer, data, batch_size=options.batch,
                                     method=options.method, hidden_layers=blocks)
        return list(vector.directions.values())

    return train


def ours(options, mode):
    """An extraction of trimtab as its users run it."""
    out = options.work / f"{mode}.safetensors"
    command = [str(options.trimtab), "extract", "-q", "--json", "-m", str(options.gguf),
               "-t", str(options.threads), "--data", str(options.data), "--method", mode,
               "--position", POSITIONS[mode], "--sites", f"resid_post.0-{options.blocks - 1}",
               "-o", str(out)]
    began = time.perf_counter()
    document = json.loads(output(command))
    return {"process": time.perf_counter() - began, "extract": document["seconds"]}


def theirs(options, mode, name, method):
    """The same of a peer."""
    command = [sys.executable, __file__, "--gguf", str(options.gguf), "--peer", name,
               "--method", method, "--work", str(options.work), "--threads", str(options.threads),
               "--batch", str(options.batch), "--texts", str(options.work / f"{mode}.json")]
    threads = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    began = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=False,
                            env=os.environ | threads)
    took = time.perf_counter() - began
    if result.returncode != 0:
        print(result.stderr[-3000:], file=sys.stderr)
        raise SystemExit(f"{name} failed with {result.returncode}")
    return {"process": took, **json.loads(result.stdout.splitlines()[-1])}


def measure(options, mode):
    """All arms of a mode in turn: {name: rounds}."""
    arms = {"trimtab": lambda: ours(options, mode),
            "steering-vectors": lambda: theirs(options, mode, "steering-vectors", "")}
    for method in options.repeng:
        arms[f"repeng {method}"] = lambda method=method: theirs(options, mode, "repeng", method)
    found = {name: [] for name in arms}
    for number in range(options.rounds):
        for name, run in arms.items():
            found[name].append(run())
            print(f"{mode}, round {number + 1}, {name}: {found[name][-1]}", file=sys.stderr)
    return found


def shares(found, name, what):
    """Smallest and median seconds of an arm, and how many times trimtab's they are."""
    def values(arm):
        return [run[what] for run in found[arm]]

    cells = []
    for pick in (min, statistics.median):
        own = pick(values(name))
        cells += [f"{own:.2f}", f"{own / pick(values('trimtab')):.2f}"]
    return cells


def show(mode, found, tokens):
    """The table of a mode."""
    print(f"\n{mode} at {POSITIONS[mode]}\n")
    table_head(["program", "process s, min", "× trimtab", "median", "× trimtab",
                "extraction s, min", "× trimtab", "median", "× trimtab", "tokens", "run"])
    for name, runs in found.items():
        seen = runs[0].get("tokens", ""), runs[0].get("padded", tokens)
        table_row([name, *shares(found, name, "process"), *shares(found, name, "extract"),
                   *map(str, seen)])


def versions():
    """What was measured."""
    names = ("steering-vectors", "repeng", "transformers", "torch", "scikit-learn")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--trimtab", type=Path, default=Path("target/release/trimtab"))
    parser.add_argument("--data", type=Path, default=Path("examples/data/concise.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("target/oracle/extract"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--modes", nargs="+", default=list(POSITIONS), choices=list(POSITIONS))
    parser.add_argument("--repeng", nargs="*", default=["pca_diff", "pca_center"])
    own = parser.add_argument_group("of the script's own processes")
    own.add_argument("--peer")
    own.add_argument("--method")
    own.add_argument("--texts", type=Path)
    return parser.parse_args()


def main():
    """Run every mode in turn and print the tables."""
    options = arguments()
    if options.peer == "prepare":
        prepare(options)
        return
    if options.peer:
        peer(options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    config = options.work / "config.json"
    if not config.exists():
        output([sys.executable, __file__, "--gguf", str(options.gguf), "--peer", "prepare",
                "--work", str(options.work)])
    options.blocks = json.loads(config.read_text())["num_hidden_layers"]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.work)
    version = output([str(options.trimtab), "--version"]).strip()
    print(f"{version}, {versions()}; {options.threads} threads, batches of {options.batch}, "
          f"{options.rounds} rounds, {options.data.name}")
    for mode in options.modes:
        sides, tokens = texts(tokenizer, mode, options.data)
        (options.work / f"{mode}.json").write_text(json.dumps(sides))
        show(mode, measure(options, mode), tokens)


if __name__ == "__main__":
    main()
