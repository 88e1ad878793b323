#!/usr/bin/env python3
"""Write a GGUF again in another block format, for benchmarks of formats that a model is not published in.

    python scripts/requantise.py --gguf MODEL.gguf --to q8_0 q4_0 [--out FOLDER]

Every quantised tensor that is not q8_0, whatever it is for, is turned into f32 and quantised to the wanted format with
gguf-py. Tensors of f32, f16, bf16 and q8_0 stay as they are: norms, and an output head of eight bits. Metadata are
copied, but for `general.file_type`. What a second rounding costs in quality does not matter here: the files are for
measuring speed.
"""

import argparse
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, LlamaFileType

FORMATS = {
    "q4_0": (Type.Q4_0, LlamaFileType.MOSTLY_Q4_0),
    "q4_1": (Type.Q4_1, LlamaFileType.MOSTLY_Q4_1),
    "q5_0": (Type.Q5_0, LlamaFileType.MOSTLY_Q5_0),
    "q5_1": (Type.Q5_1, LlamaFileType.MOSTLY_Q5_1),
    "q8_0": (Type.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
KEPT = {Type.F32, Type.F16, Type.BF16, Type.Q8_0}


def requantise(reader, out, name):
    """Write the reader's model to `out` in a format."""
    wanted, file_type = FORMATS[name]
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, architecture)
    copy_metadata(reader, writer)
    writer.add_file_type(file_type)
    changed = 0
    for tensor in reader.tensors:
        if tensor.tensor_type in KEPT:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
        changed += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return changed


def copy_metadata(reader, writer):
    """Copy every field but those that the writer makes itself."""
    for field in reader.fields.values():
        own = field.name.startswith("GGUF.") or field.name in {
            "general.architecture", "general.file_type"}
        if own:
            continue
        kind = field.types[0]
        part = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=part)


def target(options, name):
    """Where a format's file goes: the old name with the new format in it."""
    stem = options.gguf.stem.rsplit(".", maxsplit=1)[0]
    return (options.out or options.gguf.parent) / f"{stem}.{name.upper()}.gguf"


def main():
    """Write one file for each format."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--to", nargs="+", choices=sorted(FORMATS), default=["q8_0", "q4_0"])
    parser.add_argument("--out", type=Path, help="folder, made if missing [default: the model's own]")
    options = parser.parse_args()
    reader = gguf.GGUFReader(options.gguf)
    for name in options.to:
        out = target(options, name)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out == options.gguf:
            raise SystemExit(f"{out} is the model itself")
        changed = requantise(reader, out, name)
        print(f"{out}: {changed} of {len(reader.tensors)} tensors, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
