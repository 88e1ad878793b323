#!/usr/bin/env python3
"""Write tests/golden/smollm2/reference.safetensors: what the default model's file means.

The GGUF's weights are turned into f32 with gguf-py and run by Hugging Face
transformers in f32 on the CPU. For each text of tests/golden/smollm2/texts the
golden holds, under the text's number i:

    i.tokens      u32 [time]             ids from llama.cpp's tokenizer, no BOS
    i.positions   u32 [sampled]          where logits were taken
    i.top_ids     u32 [sampled, 256]     the 256 largest logits, largest first
    i.top_logits  f32 [sampled, 256]
    i.logsumexp   f32 [sampled]          over the whole vocabulary

    python scripts/golden_smollm2.py --gguf MODEL.gguf
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import LlamaConfig, LlamaForCausalLM

SAMPLED = 12
TOP = 256
BLOCK_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {"token_embd.weight": "model.embed_tokens.weight",
               "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}


def reference(path):
    """Return the GGUF's model in f32, as transformers runs it."""
    reader = gguf.GGUFReader(path)
    config = read_config(reader)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for tensor in reader.tensors:
        value = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if part in heads:
            value = pair_halves(value, heads[part])
        weights[hf_name(tensor.name)] = torch.from_numpy(np.array(value, dtype=np.float32))
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager", dtype=torch.float32)
    missing, unknown = model.load_state_dict(weights, strict=False)
    tied = ["lm_head.weight"] if config.tie_word_embeddings else []
    if unknown or list(missing) != tied:
        raise ValueError(f"missing {missing}, unknown {unknown}")
    return model.eval()


def read_config(reader):
    """Read the llama hyperparameters of a GGUF."""
    def field(key):
        return reader.fields[f"llama.{key}"].contents()

    names = {tensor.name for tensor in reader.tensors}
    return LlamaConfig(
        vocab_size=field("vocab_size"), hidden_size=field("embedding_length"),
        intermediate_size=field("feed_forward_length"), num_hidden_layers=field("block_count"),
        num_attention_heads=field("attention.head_count"),
        num_key_value_heads=field("attention.head_count_kv"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=field("context_length"),
        rope_parameters={"rope_type": "default", "rope_theta": field("rope.freq_base")},
        tie_word_embeddings="output.weight" not in names)


def hf_name(name):
    """Translate a GGUF tensor name."""
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _, block, part, _ = name.split(".")
    return f"model.layers.{block}.{BLOCK_NAMES[part]}.weight"


def pair_halves(weight, heads):
    """Undo the row order for interleaved rotation that arch ``llama`` is stored in."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def tokenize(path, texts):
    """Ids of each text from llama.cpp's tokenizer, without BOS or special tokens."""
    from llama_cpp import Llama

    words = Llama(str(path), vocab_only=True, verbose=False)
    return [words.tokenize(text.encode(), add_bos=False, special=False) for text in texts]


def sampled_positions(length):
    """Positions spread evenly from the first to the last token."""
    return np.linspace(0, length - 1, SAMPLED).round().astype(np.int64)


def all_logits(model, tokens):
    """Logits of every position, f32 [time, vocab]."""
    with torch.no_grad():
        return model(torch.tensor(tokens)[None], use_cache=False).logits[0].float()


def golden(index, model, tokens):
    """The golden tensors of one text."""
    positions = sampled_positions(len(tokens))
    rows = all_logits(model, tokens)[positions]
    top = rows.topk(TOP, dim=1)
    print(f"text {index}: {len(tokens)} tokens")
    return {
        f"{index}.tokens": np.array(tokens, dtype=np.uint32),
        f"{index}.positions": positions.astype(np.uint32),
        f"{index}.top_ids": top.indices.numpy().astype(np.uint32),
        f"{index}.top_logits": top.values.numpy(),
        f"{index}.logsumexp": rows.double().logsumexp(1).float().numpy(),
    }


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gguf", type=Path, required=True, help="SmolLM2-135M-Instruct Q4_1")
    parser.add_argument("--out", type=Path, default=Path("tests/golden/smollm2"))
    return parser.parse_args()


def main():
    """Write the golden file."""
    args = arguments()
    torch.set_num_threads(1)
    texts = [file.read_text() for file in sorted((args.out / "texts").glob("*.txt"))]
    model = reference(args.gguf)
    tensors = {}
    for index, tokens in enumerate(tokenize(args.gguf, texts)):
        tensors |= golden(index, model, tokens)
    save_file(tensors, args.out / "reference.safetensors")


if __name__ == "__main__":
    main()
