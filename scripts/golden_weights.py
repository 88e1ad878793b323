"""Writes tests/golden/weights/: small weight files made by the formats' own writers.

    python scripts/golden_weights.py

Needs gguf, numpy and safetensors from PyPI. What it writes is the same on every run with the same
versions (made with gguf 0.19.0, safetensors 0.8.0, numpy 2.x).

  quants.gguf            one tensor for each GGML type gguf can write or read back
  quants.safetensors     the same tensors in f32, dequantised by gguf
  split/                 one model in three GGUF parts
  sharded/               a Hugging Face folder of two shards and an index
  hashes.json            weights_sha256 of each set, from the raw files read by gguf and safetensors
"""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "weights"
ENDS = 4096


def sha256(tensors):
    """tensors: name -> (type name, shape outermost first, stored bytes)"""
    digest = hashlib.sha256()
    for name in sorted(tensors, key=lambda name: name.encode()):
        kind, shape, data = tensors[name]
        digest.update(f"{name}\n{kind}\n{','.join(map(str, shape))}\n".encode())
        digest.update(data if len(data) <= 2 * ENDS else data[:ENDS] + data[-ENDS:])
    return digest.hexdigest()


def read_gguf(*paths):
    tensors = {}
    for path in paths:
        for tensor in gguf.GGUFReader(path).tensors:
            shape = [int(n) for n in reversed(tensor.shape)]
            tensors[tensor.name] = (tensor.tensor_type.name, shape, tensor.data.tobytes())
    return tensors


def k_block(rng, kind, blocks):
    """Random bytes are valid K-quant blocks but for their f16 scales, which must be finite."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    raw = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    scales = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}[kind]
    for at in scales:
        halves = rng.uniform(0.001, 0.1, blocks).astype("<f2")
        raw[:, at : at + 2] = halves.view(np.uint8).reshape(blocks, 2)
    return raw


def quants(rng):
    path = OUT / "quants.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    every_kind(writer)
    expected = {}
    for kind in [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1]:
        values = rng.normal(0, 1, (3, 64)).astype(np.float32)
        stored = values if kind == Q.F32 else gguf.quants.quantize(values, kind)
        writer.add_tensor(f"t.{kind.name}", stored, raw_dtype=kind)
        expected[f"t.{kind.name}"] = gguf.quants.dequantize(stored, kind).astype(np.float32)
    for kind in [Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K]:
        raw = k_block(rng, kind, 2)
        writer.add_tensor(f"t.{kind.name}", raw.reshape(2, -1), raw_dtype=kind)
        expected[f"t.{kind.name}"] = gguf.quants.dequantize(raw.reshape(2, -1), kind)
    odd = rng.integers(0, 256, (1, 136), dtype=np.uint8)
    writer.add_tensor("t.odd", odd, raw_dtype=Q.IQ4_XS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, OUT / "quants.safetensors")
    return sha256(read_gguf(path))


def every_kind(writer):
    writer.add_uint8("k.u8", 200)
    writer.add_int8("k.i8", -100)
    writer.add_uint16("k.u16", 60000)
    writer.add_int16("k.i16", -30000)
    writer.add_uint32("k.u32", 4000000000)
    writer.add_int32("k.i32", -2000000000)
    writer.add_uint64("k.u64", 2**63 + 1)
    writer.add_int64("k.i64", -(2**62))
    writer.add_float32("k.f32", 0.5)
    writer.add_float64("k.f64", 0.1)
    writer.add_bool("k.bool", True)
    writer.add_string("k.text", "größe\n")
    writer.add_array("k.texts", ["a", "", "日本"])
    writer.add_array("k.integers", [-1, 0, 7])
    writer.add_array("k.floats", [0.25, -2.5])
    writer.add_array("k.bools", [True, False])


def split(rng):
    folder = OUT / "split"
    folder.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama", split_max_tensors=2)
    writer.add_uint32("llama.block_count", 1)
    for number in range(5):
        values = rng.normal(0, 1, (2, 32)).astype(np.float32)
        writer.add_tensor(f"blk.0.{'edcba'[number]}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sha256(read_gguf(*sorted(folder.glob("*.gguf"))))


def sharded(rng):
    folder = OUT / "sharded"
    folder.mkdir(exist_ok=True)
    # The second tensor is above 8,192 bytes, so the hash takes its two ends only.
    shards = [
        {"model.norm.weight": rng.normal(0, 1, 8).astype(np.float32)},
        {"lm_head.weight": rng.normal(0, 1, (65, 64)).astype(np.float16)},
    ]
    places, stored = {}, {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file(tensors, folder / name, {"format": "pt"})
        for key, values in tensors.items():
            places[key] = name
            kind = {"float32": "F32", "float16": "F16"}[values.dtype.name]
            stored[key] = (kind, values.shape, values.tobytes())
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 8}\n')
    return sha256(stored)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    hashes = {"quants": quants(rng), "split": split(rng), "sharded": sharded(rng)}
    (OUT / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
