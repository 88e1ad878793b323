"""Vector files made and read by others: goldens for steering/, and llama.cpp with a file of ours.

    python scripts/golden_vectors.py write
    python scripts/golden_vectors.py compare --gguf MODEL.gguf --vector OURS.gguf --ours LOGITS.safetensors

`write` needs gguf, numpy, safetensors and repeng (0.4.0) from PyPI and fills steering/tests/data/:

  native.safetensors     a native file, by safetensors and json: ours must have the same bytes
  native.gguf            its export, by gguf's writer: ours must have the same bytes
  repeng.gguf            by repeng's own export
  easysteer.gguf         keys and types as in EasySteer's published files, which write direction.0
  cvector.gguf           as llama.cpp's cvector-generator writes: an i32 layer count
  differences.gguf       as jukofyork/control-vectors writes: a layer count above the number of tensors
  project.gguf           a GLP file for projection
  turbospark.gguf        its layer base 0 and its mode for projection
  zero.gguf              repeng's keys with direction.0
  unknown.gguf           directions and nothing about their writer
  half.gguf              repeng's keys, tensors in f16
  ibm.svec               the JSON of activation-steering
  removed.safetensors    a native projection of two rows per site, by safetensors and json
  removed.gguf           its GLP export, by gguf's writer: ours must have the same bytes
  bare.safetensors       rows named by site and nothing else, in f32, f16 and bf16
  rows.f32               three rows of bare f32 values
  expected.json          what gguf's reader finds in each, and the hashes

`compare` needs llama-cpp-python. It places the vector as `common_control_vector_load` does, gives it to
`llama_set_adapter_cvec`, and prints the cosine between llama.cpp's change of the last logits and ours, for each prompt.
LOGITS.safetensors holds `I.tokens`, `I.plain` and `I.steered` for prompts I = 0, 1, …
"""

import argparse
import ctypes
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "steering" / "tests" / "data"
HOOK = "residual_stream_post_layer"
WIDTH = 8
ROWS = {1: [0.6, 0, 0, 0.8, 0, 0, 0, 0], 2: [0, 0, 1, 0, 0, 0, 0, 0], 10: [0, -0.8, 0, 0, 0, 0, 0.6, 0]}
MAGNITUDES = {1: 2.5, 2: 9.25, 10: 0.75}


def rng_rows(seed, numbers):
    rng = np.random.default_rng(seed)
    return {n: (rng.standard_normal(WIDTH) * 3).astype(np.float32) for n in numbers}


def content_sha256():
    digest = hashlib.sha256()
    for n in sorted(ROWS):
        row = np.array(ROWS[n], dtype="<f4")
        digest.update(f"resid_post.{n}".encode() + b"\0")
        digest.update(np.array([1, WIDTH], dtype="<u4").tobytes() + row.tobytes())
    return digest.hexdigest()


def header():
    site = lambda n: {
        "derived_at": f"resid_post.{n}", "magnitude": MAGNITUDES[n], "anchor": -0.25,
        "stream_norm": 61.5, "stream_norm_p95": 88.0, "auc": 0.9375,
    }
    return {
        "format": "trimtab.vector", "spec": 1, "name": "calm", "summary": "calmer, less \"urgent\" tone",
        "role": "steer", "status": "measured", "operation": {"kind": "add"}, "rank": 1,
        "sites": {f"resid_post.{n}": site(n) for n in ROWS},
        "scale": {"default": 0.5, "safe": [-1.0, 2.0]}, "scope": {"prompt": "all", "generation": "all"},
        "sign": "positive_minus_negative",
        "model": {
            "name": "maker/tiny", "revision": "12fd25f7", "arch": "llama", "d_model": WIDTH, "n_layers": 12,
            "vocab_size": 64, "quantization": "F32", "family_sha256": "6a" * 32, "weights_sha256": "90be41d7" * 8,
            "tokenizer_sha256": "c5" * 32, "template_sha256": None, "pinned": "extract",
        },
        "method": {
            "name": "mean_difference", "position": "mean_response", "pairs": 128, "seed": 7,
            "params": {"alpha": 0.125, "blocks": 3, "rule": "heldout_auroc"},
        },
        "data": {"sha256": "3b" * 32, "pairs": 128, "contrast": "calm against urgent", "licence": "CC-BY-4.0"},
        "evaluation": {
            "set_sha256": "8d" * 32, "n": 64, "random_p95": 0.0625, "refusal_delta": 0.0, "json_valid_delta": None,
            "build": "trimtab 0.1.0",
            "response": [
                {"scale": -1.0, "concept": -0.375, "kl": 0.03125, "ppl_ratio": 1.0},
                {"scale": 0.5, "concept": 0.25, "kl": 0.0078125, "ppl_ratio": 1.0},
            ],
        },
        "content_sha256": content_sha256(), "writer": "trimtab 0.1.0",
    }


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def native():
    from safetensors.numpy import save_file

    rows = {f"resid_post.{n}": np.array([ROWS[n]], dtype=np.float32) for n in ROWS}
    save_file(rows, OUT / "native.safetensors", metadata={"trimtab": compact(header())})


def exported():
    head = header()
    offsets = {n: np.array(ROWS[n], dtype=np.float32) * np.float32(MAGNITUDES[n]) for n in sorted(ROWS)}
    data = b"".join(offset.tobytes() for offset in offsets.values())
    writer = gguf.GGUFWriter(OUT / "native.gguf", "controlvector")
    writer.add_string("general.name", head["name"])
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", len(offsets))
    writer.add_string("controlvector.method", "mean_difference")
    writer.add_string("glp.mode", "add")
    writer.add_string("glp.hook_point", HOOK)
    writer.add_string("glp.derived_at", HOOK)
    writer.add_uint32("glp.spec_version", 1)
    writer.add_uint32("glp.rank", 1)
    writer.add_string("glp.layer_ids_zero_based", ",".join(map(str, offsets)))
    writer.add_string("glp.content_sha256", hashlib.sha256(data).hexdigest())
    writer.add_uint32("general.base_model.count", 1)
    writer.add_string("general.base_model.0.name", "maker/tiny")
    writer.add_string("general.base_model.0.version", "12fd25f7")
    writer.add_string("general.base_model.0.repo_url", "https://huggingface.co/maker/tiny")
    writer.add_string("trimtab.header", compact(head))
    finish(writer, offsets)


def finish(writer, rows):
    for n, row in rows.items():
        writer.add_tensor(f"direction.{n}", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def repeng():
    np.float_ = np.float64  # repeng 0.4.0 names a type that NumPy 2 took away
    from repeng import ControlVector

    # In the order of repeng's own default, which counts down from the last block.
    vector = ControlVector(model_type="llama", directions=rng_rows(1, [3, 2, 1]))
    vector.export_gguf(OUT / "repeng.gguf")


def foreign():
    def writer(name, hint="llama"):
        writer = gguf.GGUFWriter(OUT / name, "controlvector")
        writer.add_string("controlvector.model_hint", hint)
        return writer

    easy = writer("easysteer.gguf", "qwen2.5")
    easy.add_string("controlvector.method", "diffmean")
    easy.add_uint32("controlvector.layer_count", 3)
    easy.add_float32("controlvector.normalize", 1.0)
    easy.add_float32("controlvector.token_pos", -1.0)
    finish(easy, rng_rows(2, [0, 1, 2]))
    cvector = writer("cvector.gguf")
    cvector.add_int32("controlvector.layer_count", 3)
    finish(cvector, rng_rows(3, [1, 2, 3]))
    differences = writer("differences.gguf")
    differences.add_uint32("controlvector.layer_count", 4)
    finish(differences, rng_rows(4, [1, 2, 3]))
    turbospark = writer("turbospark.gguf")
    turbospark.add_uint32("turbospark.layer_base", 0)
    turbospark.add_string("turbospark.steering_mode", "ablate")
    finish(turbospark, rng_rows(8, [1, 2]))
    zero = writer("zero.gguf")
    zero.add_uint32("controlvector.layer_count", 2)
    finish(zero, rng_rows(9, [0, 1]))
    finish(writer("unknown.gguf"), rng_rows(10, [1, 2]))
    half = writer("half.gguf")
    half.add_uint32("controlvector.layer_count", 2)
    finish(half, {n: row.astype(np.float16) for n, row in rng_rows(5, [4, 5]).items()})
    project = writer("project.gguf")
    project.add_string("glp.mode", "project")
    project.add_string("glp.hook_point", "ffn_out_pre_residual")
    project.add_string("glp.derived_at", HOOK)
    project.add_string("glp.layer_ids_zero_based", "2,3")
    project.add_float32("glp.alpha_default", 0.5)
    finish(project, rng_rows(6, [2, 3]))


REMOVED = {2: [[0.6, 0.8, 0, 0], [0.8, -0.6, 0, 0]], 3: [[0, 0, 1, 0], [0, 0, 0, -1]]}


def removed():
    from safetensors.numpy import save_file

    rows = {n: np.array(REMOVED[n], dtype=np.float32) for n in REMOVED}
    digest = hashlib.sha256()
    for n in rows:
        digest.update(f"mlp_out.{n}".encode() + b"\0" + np.array([2, 4], dtype="<u4").tobytes() + rows[n].tobytes())
    site = lambda n: {
        "derived_at": f"resid_post.{n}", "magnitude": None, "anchor": None, "stream_norm": None,
        "stream_norm_p95": None, "auc": None, "row_scale": [1.0, 0.5],
    }
    head = header() | {
        "name": "removed", "summary": "", "status": "unmeasured", "operation": {"kind": "project"}, "rank": 2,
        "sites": {f"mlp_out.{n}": site(n) for n in rows}, "scale": {"default": 2.5, "safe": None},
        "data": None, "evaluation": None, "model": header()["model"] | {"d_model": 4},
        "content_sha256": digest.hexdigest(),
    }
    save_file({f"mlp_out.{n}": rows[n] for n in rows}, OUT / "removed.safetensors", metadata={"trimtab": compact(head)})
    data = b"".join(row.tobytes() for row in rows.values())
    writer = gguf.GGUFWriter(OUT / "removed.gguf", "controlvector")
    writer.add_string("general.name", "removed")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", 4)
    writer.add_string("controlvector.method", "mean_difference")
    writer.add_string("glp.mode", "project")
    writer.add_string("glp.hook_point", "ffn_out_pre_residual")
    writer.add_string("glp.derived_at", HOOK)
    writer.add_uint32("glp.spec_version", 2)
    writer.add_float32("glp.alpha_default", 2.5)
    writer.add_uint32("glp.rank", 2)
    writer.add_bool("glp.orthonormal", True)
    writer.add_string("glp.dir_scales", "1,0.5")
    writer.add_string("glp.layer_ids_zero_based", "2,3")
    writer.add_string("glp.content_sha256", hashlib.sha256(data).hexdigest())
    writer.add_uint32("general.base_model.count", 1)
    writer.add_string("general.base_model.0.name", "maker/tiny")
    writer.add_string("general.base_model.0.version", "12fd25f7")
    writer.add_string("general.base_model.0.repo_url", "https://huggingface.co/maker/tiny")
    writer.add_string("trimtab.header", compact(head))
    finish(writer, {name: row for n in rows for name, row in ((f"{n}", rows[n][0]), (f"{n}.1", rows[n][1]))})


def bare():
    import torch
    from safetensors.torch import save_file

    rows = {n: torch.from_numpy(row) for n, row in rng_rows(11, [1, 2, 3]).items()}
    tensors = {"resid_post.1": rows[1], "resid_post.2": rows[2].half(), "blocks.3.hook_mlp_out": rows[3].bfloat16()[None]}
    save_file(tensors, OUT / "bare.safetensors", metadata={"made_by": "someone"})
    names = {"resid_post.1": "resid_post.1", "resid_post.2": "resid_post.2", "blocks.3.hook_mlp_out": "mlp_out.3"}
    np.stack(list(rng_rows(12, [0, 1, 2]).values())).tofile(OUT / "rows.f32")
    return {names[name]: tensor.float().flatten().tolist() for name, tensor in tensors.items()}


def svec():
    rows = rng_rows(7, [12, 13])
    saved = {
        "model_type": "llama",
        "directions": {str(n): row.tolist() for n, row in rows.items()},
        "explained_variances": {"12": 0.5, "13": 0.25},
    }
    saved["directions"]["13"] = [saved["directions"]["13"]]
    (OUT / "ibm.svec").write_text(json.dumps(saved))


def expected():
    found = {"content_sha256": content_sha256()}
    for path in sorted(OUT.glob("*.gguf")):
        tensors = gguf.GGUFReader(path).tensors
        found[path.name] = {t.name: [float(v) for v in t.data.astype(np.float32)] for t in tensors}
    found["bare.safetensors"] = bare()
    (OUT / "expected.json").write_text(json.dumps(found))


def write():
    OUT.mkdir(parents=True, exist_ok=True)
    native()
    exported()
    repeng()
    foreign()
    svec()
    removed()
    expected()


def loaded(path, n_layers, n_embd):
    """As common_control_vector_load: direction.N at (N - 1) * n_embd, N >= 1, F32 and one-dimensional."""
    data = np.zeros(n_embd * (n_layers - 1), dtype=np.float32)
    for tensor in gguf.GGUFReader(path).tensors:
        number = int(tensor.name.removeprefix("direction."))
        assert number >= 1 and tensor.tensor_type.name == "F32" and list(tensor.shape) == [n_embd], tensor.name
        data[(number - 1) * n_embd : number * n_embd] += tensor.data
    return data


def last_logits(llm, tokens):
    llm.reset()
    llm.eval(tokens)
    return np.array(llm.scores[len(tokens) - 1], dtype=np.float64)


def compare(options):
    import llama_cpp
    from safetensors.numpy import load_file

    ours = load_file(options.ours)
    llm = llama_cpp.Llama(options.gguf, n_ctx=512, logits_all=True, verbose=False)
    n_embd, n_layers = llm.n_embd(), llama_cpp.llama_model_n_layer(llm.model)
    data = loaded(options.vector, n_layers, n_embd) * np.float32(options.scale)
    pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    cosines = []
    for i in range(sum(name.endswith(".tokens") for name in ours)):
        tokens = [int(t) for t in ours[f"{i}.tokens"]]
        llama_cpp.llama_set_adapter_cvec(llm.ctx, None, 0, n_embd, 1, n_layers)
        plain = last_logits(llm, tokens)
        code = llama_cpp.llama_set_adapter_cvec(llm.ctx, pointer, len(data), n_embd, 1, n_layers)
        assert code == 0, code
        theirs = last_logits(llm, tokens) - plain
        change = ours[f"{i}.steered"].astype(np.float64) - ours[f"{i}.plain"]
        lengths = np.linalg.norm(theirs), np.linalg.norm(change)
        cosines.append(theirs @ change / (lengths[0] * lengths[1]))
        print(f"{i}: {len(tokens)} tokens, change {lengths[0]:.2f} and {lengths[1]:.2f}, cosine {cosines[-1]:.5f}")
    print(f"lowest of {len(cosines)}: {min(cosines):.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    commands.add_parser("write").set_defaults(run=lambda _: write())
    against = commands.add_parser("compare")
    against.add_argument("--gguf", required=True)
    against.add_argument("--vector", required=True)
    against.add_argument("--ours", required=True)
    against.add_argument("--scale", type=float, default=1.0)
    against.set_defaults(run=compare)
    options = parser.parse_args()
    options.run(options)
