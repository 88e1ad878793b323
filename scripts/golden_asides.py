#!/usr/bin/env python3
"""Write tests/golden/text/asides.json: what Hugging Face writes behind an answer.

For each guidance text of steering/data/policies/default.toml the conversation
[user, assistant, system text] is rendered with transformers' apply_chat_template
and the generation prompt, cut behind the answer, and encoded by the tokenizer
that transformers rebuilds from the GGUF. The golden holds what is written before
and behind every text, the ids of the first, and a SHA-256 over the ids of all in
file order, as u32 LE with their number in front.

    python scripts/golden_asides.py SMOLLM2.gguf
"""

import hashlib
import json
import struct
import sys
import tomllib
from pathlib import Path

from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
POLICY = ROOT / "steering/data/policies/default.toml"
GOLDEN = ROOT / "tests/golden/text/asides.json"
ANSWER = "ANSWERUPTOHERE"


def aside(tokenizer, note):
    """Return what the template writes behind an answer that a note follows."""
    turns = [("user", "Hello."), ("assistant", ANSWER), ("system", note)]
    messages = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text.split(ANSWER, 1)[1]


def main():
    gguf = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    frames, ids = set(), []
    for levels in tomllib.loads(POLICY.read_text())["guidance"].values():
        for note in levels.values():
            text = aside(tokenizer, note)
            frames.add(tuple(text.split(note)))
            ids.append(tokenizer.encode(text, add_special_tokens=False))
            if tokenizer.decode(ids[-1]) != text:
                raise ValueError(f"{text!r} does not come back")
    [(before, behind)] = frames
    packed = b"".join(struct.pack(f"<{1 + len(row)}I", len(row), *row) for row in ids)
    golden = {"before": before, "behind": behind, "first": ids[0],
              "sha256": hashlib.sha256(packed).hexdigest()}
    GOLDEN.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
