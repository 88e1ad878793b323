#!/usr/bin/env python3
"""Write the tiny random checkpoints and their goldens under tests/golden/models.

Each case is one folder: ``config.json`` and weights as ``save_pretrained`` writes
them, and ``golden.safetensors`` with what Hugging Face transformers computes from
these very files in f32 on the CPU with eager attention. With ``--converter`` (the
root of a llama.cpp source tree, for instance ``vendor/llama.cpp`` inside the
llama-cpp-python source archive) some cases get a ``model.gguf`` made by llama.cpp's
own converter. With ``--check`` llama.cpp runs these files and is compared.

    python scripts/golden_models.py --out tests/golden/models --converter DIR --check
"""

import argparse
import copy
import dataclasses
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

VOCAB = 96
TOKENS = 32
PROBE_TOKENS = 10
PROBE_COORDINATE = 5
PROBE_SIZE = 3.0
PROBE_BLOCK = 1
ABSENT = object()  # a key that older files do not have


@dataclasses.dataclass(frozen=True)
class Case:
    """One checkpoint: what is configured, how it is stored, what is made of it."""

    name: str
    model_type: str
    config: dict
    dtype: str = "float16"
    classic: dict | None = None  # keys of older hub files; None keeps the new form
    without: dict = dataclasses.field(default_factory=dict)  # config that must change the logits
    lengths: dict = dataclasses.field(default_factory=lambda: {"golden": TOKENS})
    shard_bytes: int | None = None
    probes: bool = False
    gguf: bool = False


def small(**changes):
    """Sizes of a three-block model with one key head for three query heads."""
    sizes = dict(
        hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=128, vocab_size=VOCAB,
        rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=None,
    )
    return sizes | changes


def smaller(**changes):
    """Sizes of a two-block model, for cases where one detail matters."""
    return small(hidden_size=16, intermediate_size=24, num_hidden_layers=2,
                 num_attention_heads=2, num_key_value_heads=1) | changes


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=128)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=24, rope_theta=100.0)
LONGROPE = dict(rope_type="longrope", short_factor=[1.0, 1.3, 1.9], long_factor=[1.2, 2.5, 7.0])
PLAIN_ROPE = dict(rope_type="default", rope_theta=10000.0)
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA_ROPE = {
    "full_attention": dict(rope_type="linear", factor=4.0, rope_theta=1000000.0),
    "sliding_attention": PLAIN_ROPE,
}

CASES = [
    Case("llama", "llama", small(tie_word_embeddings=True, rope_theta=100000.0),
         classic=dict(rope_theta=100000.0, rope_scaling=None),
         without=dict(rope_theta=10000.0), probes=True, gguf=True),
    Case("llama3-rope", "llama",
         smaller(max_position_embeddings=1024, rope_theta=10000.0, rope_scaling=LLAMA3),
         classic=dict(rope_theta=10000.0, rope_scaling=LLAMA3),
         without=dict(rope_scaling=None), gguf=True),
    Case("llama-linear", "llama",
         smaller(rope_theta=10000.0, rope_scaling=dict(rope_type="linear", factor=4.0)),
         classic=dict(rope_theta=10000.0, rope_scaling=dict(type="linear", factor=4.0)),
         without=dict(rope_scaling=None)),
    Case("llama-yarn", "llama",
         smaller(head_dim=16, max_position_embeddings=96, rope_parameters=YARN),
         without=dict(rope_parameters=dict(rope_type="default", rope_theta=100.0)), gguf=True),
    Case("llama-bias", "llama",
         smaller(attention_bias=True, mlp_bias=True, rope_parameters=PLAIN_ROPE), dtype="float32"),
    Case("mistral", "mistral",
         smaller(num_attention_heads=3, head_dim=8, sliding_window=6, rope_theta=10000.0),
         classic=dict(rope_theta=10000.0), without=dict(sliding_window=None)),
    Case("qwen2", "qwen2",
         smaller(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
                 rope_theta=10000.0, use_sliding_window=False),
         dtype="bfloat16", gguf=True, without=dict(rope_theta=1000.0),
         classic=dict(rope_theta=10000.0, sliding_window=8, use_sliding_window=False,
                      max_window_layers=1, layer_types=ABSENT)),
    Case("qwen3", "qwen3",
         smaller(head_dim=16, num_attention_heads=3, rope_parameters=PLAIN_ROPE),
         shard_bytes=14000, gguf=True),
    Case("gemma3", "gemma3_text",
         small(hidden_size=16, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=2,
               head_dim=8, intermediate_size=32, sliding_window=6, query_pre_attn_scalar=8,
               rms_norm_eps=1e-6, tie_word_embeddings=True, pad_token_id=0),
         classic=dict(rope_theta=1000000.0, rope_local_base_freq=10000.0, rope_scaling=None,
                      sliding_window_pattern=6, _sliding_window_pattern=ABSENT, layer_types=ABSENT,
                      tie_word_embeddings=ABSENT),
         without=dict(sliding_window=64), probes=True, gguf=True),
    Case("gemma3-softcap", "gemma3_text",
         smaller(num_hidden_layers=3, head_dim=8, sliding_window=6, query_pre_attn_scalar=20,
                 rms_norm_eps=1e-6, tie_word_embeddings=True, pad_token_id=0,
                 final_logit_softcapping=4.0, layer_types=GEMMA_LAYERS,
                 rope_parameters=GEMMA_ROPE),
         without=dict(query_pre_attn_scalar=8)),
    Case("olmo2", "olmo2",
         small(rope_parameters=PLAIN_ROPE | dict(rope_theta=500000.0), rms_norm_eps=1e-6,
               pad_token_id=0),
         probes=True, gguf=True),
    Case("phi3", "phi3",
         small(num_hidden_layers=2, sliding_window=10, rope_theta=10000.0,
               partial_rotary_factor=0.75, original_max_position_embeddings=128, pad_token_id=0),
         classic=dict(rope_theta=10000.0, rope_scaling=None, partial_rotary_factor=0.75),
         without=dict(sliding_window=None), gguf=True),
    Case("phi3-longrope", "phi3",
         smaller(rope_theta=10000.0, rope_scaling=LONGROPE, partial_rotary_factor=0.75,
                 original_max_position_embeddings=16, pad_token_id=0),
         classic=dict(
             rope_theta=10000.0, partial_rotary_factor=0.75,
             rope_scaling=dict(type="longrope", long_factor=LONGROPE["long_factor"],
                               short_factor=LONGROPE["short_factor"])),
         lengths={"golden_short": 12, "golden_long": TOKENS},
         without=dict(rope_scaling=None), gguf=True),
]


def build(case, seed):
    """Return the case's model in f32 with random weights its storage type can hold."""
    config = AutoConfig.for_model(case.model_type, **copy.deepcopy(case.config))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(draw(name, weight, case, generator).to(weight.dtype))
    model.tie_weights()
    return model.eval()


def draw(name, weight, case, generator):
    """Draw one tensor, large enough that every part of a block matters."""
    noise = torch.randn(weight.shape, generator=generator)
    if "norm" in name and case.model_type.startswith("gemma3"):
        # The converter adds 1 in the stored type; steps of 2^-10 keep the sum exact in f16.
        value = (noise * 0.2 * 1024).round() / 1024
    elif "norm" in name:
        value = noise * 0.2 + 1.0
    elif weight.ndim == 1:
        value = noise * 0.3
    elif "embed" in name:
        value = noise * 0.5
    else:
        gain = 1.6 if any(part in name for part in ("q_proj", "k_proj", "qkv")) else 1.1
        value = noise * gain / weight.shape[1] ** 0.5
    return value.to(getattr(torch, case.dtype)).float()


def store(model, case, folder):
    """Save the checkpoint as the hub would have it, in the old or the new key form."""
    folder.mkdir(parents=True)
    half = copy.deepcopy(model).to(getattr(torch, case.dtype))
    size = {"max_shard_size": case.shard_bytes} if case.shard_bytes else {}
    half.save_pretrained(folder, **size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.classic is not None:
        make_classic(folder / "config.json", case.classic)


def make_classic(path, classic):
    """Rewrite a saved config.json with the keys used before transformers 5."""
    config = json.loads(path.read_text())
    config["torch_dtype"] = config.pop("dtype")
    for key in ("rope_parameters", "transformers_version"):
        config.pop(key, None)
    config.update(classic)
    config = {key: value for key, value in config.items() if value is not ABSENT}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(folder, overrides=None):
    """Load a stored case in f32, optionally with a changed configuration."""
    config = AutoConfig.from_pretrained(folder)
    if overrides:
        raw = json.loads((folder / "config.json").read_text()) | overrides
        config = AutoConfig.for_model(**raw)
    return AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def sites(model):
    """Map every site's name to the module it is read at and the side of that module.

    A tensor is taken where the block's own code holds it, so editing it in place
    edits the stream that the block goes on with.
    """
    stack = model.model
    table = {"embed": (stack.layers[0], "in")}
    for index, block in enumerate(stack.layers):
        table |= {f"{name}.{index}": place for name, place in block_sites(block).items()}
    table["final"] = (model.lm_head, "in")
    return table


def block_sites(block):
    """The four sites of one block, for the three ways of placing norms."""
    if hasattr(block, "pre_feedforward_layernorm"):
        table = {"attn_out": (block.post_attention_layernorm, "out"),
                 "resid_mid": (block.pre_feedforward_layernorm, "in"),
                 "mlp_out": (block.post_feedforward_layernorm, "out")}
    elif hasattr(block, "post_feedforward_layernorm"):
        table = {"attn_out": (block.post_attention_layernorm, "out"),
                 "resid_mid": (block.mlp, "in"),
                 "mlp_out": (block.post_feedforward_layernorm, "out")}
    else:
        table = {"attn_out": (block.self_attn, "out"),
                 "resid_mid": (block.post_attention_layernorm, "in"),
                 "mlp_out": (block.mlp, "out")}
    return table | {"resid_post": (block, "out")}


def attach(place, act):
    """Call ``act`` on the tensor at a place; return the hook's handle."""
    module, side = place

    def before(_, args, kwargs):
        act(args[0] if args else kwargs["hidden_states"])

    def after(_, __, output):
        act(output[0] if isinstance(output, tuple) else output)

    if side == "in":
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


def run(model, tokens, edit=None):
    """Run once; return every site and the logits, after ``edit`` = (site, action)."""
    seen = {}
    table = sites(model)
    handles = [attach(table[edit[0]], edit[1])] if edit else []
    for name, place in table.items():
        handles.append(attach(place, lambda x, name=name: seen.update({name: x[0].clone()})))
    ids = torch.tensor(tokens, dtype=torch.long)[None]
    with torch.no_grad():
        seen["logits"] = model(ids, use_cache=False).logits[0]
    for handle in handles:
        handle.remove()
    return {name: value.float().numpy() for name, value in seen.items()}


def nudge(tensor):
    """Add the probe's one-hot vector at all positions, in place."""
    tensor[..., PROBE_COORDINATE] += PROBE_SIZE


def probe(model, tokens):
    """Run once per kind of site with a one-hot vector added there."""
    out = {"probe.tokens": np.array(tokens, dtype=np.uint32)}
    block = PROBE_BLOCK
    for site in ("embed", f"attn_out.{block}", f"resid_mid.{block}", f"mlp_out.{block}",
                 f"resid_post.{block}", "final"):
        for name, value in run(model, tokens, (site, nudge)).items():
            if name == "logits" or name.startswith("resid_post."):
                out[f"probe.{site}.{name}"] = value
    return out


def write_goldens(case, folder, seed):
    """Write the case's golden files from what is on disk."""
    model = load(folder)
    numbers = np.random.default_rng(seed)
    tokens = numbers.integers(0, VOCAB, TOKENS)
    for stem, length in case.lengths.items():
        golden = run(model, tokens[:length])
        golden["tokens"] = tokens[:length].astype(np.uint32)
        if case.probes:
            golden |= probe(model, tokens[:PROBE_TOKENS])
        golden = {name: np.ascontiguousarray(value) for name, value in golden.items()}
        save_file(golden, folder / f"{stem}.safetensors")
        print(f"{case.name}/{stem}: largest logit {abs(golden['logits']).max():.2f}"
              + control(case, folder, golden))


def control(case, folder, golden):
    """Say how far logits move when the detail that the case is about is left out."""
    if not case.without:
        return ""
    logits = run(load(folder, case.without), golden["tokens"].astype(np.int64))["logits"]
    moved = abs(logits - golden["logits"]).max()
    if moved < 1.0:
        raise ValueError(f"{case.name} does not depend on its detail: {moved}")
    return f", without its detail {moved:.2f} away"


def write_gguf(folder, converter, target, outtype):
    """Convert one case with llama.cpp's converter and a vocabulary of single bytes."""
    sys.path[:0] = [str(converter), str(converter / "gguf-py")]
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    logging.disable(logging.WARNING)
    letters = [chr(code) for code in range(33, 126)] + ["!!", "\u010a", "\u0120"]
    kinds = {"float32": gguf.LlamaFileType.ALL_F32, "float16": gguf.LlamaFileType.MOSTLY_F16,
             "bfloat16": gguf.LlamaFileType.MOSTLY_BF16}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        vocab = {token: index for index, token in enumerate(letters)}
        (source / "tokenizer.json").write_text(
            json.dumps({"model": {"vocab": vocab}, "added_tokens": []}))
        hparams = ModelBase.load_hparams(source, False)
        kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
        with torch.inference_mode():
            model = kind(source, kinds[outtype], target, model_name="tiny random")
            model.set_vocab = lambda: set_letters(model.gguf_writer, letters)
            model.write()


def set_letters(writer, letters):
    """Write the tokenizer section: single letters, and the one merge llama.cpp insists on."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(letters)
    writer.add_token_types([1] * len(letters))
    writer.add_token_merges(["! !"])


def llama_cpp_logits(path, tokens, overrides=None):
    """Logits of every position from llama.cpp, f32 cache, one thread."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=256, n_batch=256, n_threads=1, n_threads_batch=1,
                  logits_all=True, type_k=0, type_v=0, flash_attn=False, verbose=False,
                  yarn_attn_factor=-1.0, yarn_beta_fast=-1.0, yarn_beta_slow=-1.0,
                  kv_overrides=overrides)
    model.eval([int(token) for token in tokens])
    return np.array(model.scores[:len(tokens)])


def check(case, folder, converter):
    """Compare llama.cpp with the goldens, on the stored file and on an f32 twin."""
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / "f32.gguf"
        write_gguf(folder, converter, exact, "float32")
        for stem in case.lengths:
            golden = load_file(folder / f"{stem}.safetensors")
            # Contexts are padded to 256 there, so the short factors need a longer original.
            key = "phi3.rope.scaling.original_context_length"
            overrides = {key: 4096} if stem == "golden_short" else None
            stored = folder / "model.gguf"
            for path in (exact, stored) if stored.exists() else (exact,):
                found = llama_cpp_logits(path, golden["tokens"], overrides)
                rows = abs(found - golden["logits"]).max(axis=1)
                late = np.flatnonzero(rows > 1e-2)
                first = f", apart from position {late[0]}" if late.size else ""
                print(f"llama.cpp {case.name}/{stem} {path.stem}: max {rows.max():.2e}{first}")


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("tests/golden/models"))
    parser.add_argument("--only", nargs="*", help="names of cases; the default is all")
    parser.add_argument("--converter", type=Path, help="root of a llama.cpp source tree")
    parser.add_argument("--check", action="store_true", help="compare llama.cpp with the goldens")
    parser.add_argument("--keep", action="store_true", help="do not write, only --check")
    return parser.parse_args()


def main():
    """Write and check the chosen cases."""
    args = arguments()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    for index, case in enumerate(CASES):
        if args.only and case.name not in args.only:
            continue
        folder, seed = args.out / case.name, 1000 + index
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
            store(build(case, seed), case, folder)
            write_goldens(case, folder, seed)
            if case.gguf and args.converter:
                write_gguf(folder, args.converter, folder / "model.gguf", case.dtype)
        if args.check:
            check(case, folder, args.converter)


if __name__ == "__main__":
    main()
