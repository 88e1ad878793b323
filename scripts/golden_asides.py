#!/usr/bin/env python3
"""Write tests/golden/text/asides.json: what Hugging Face writes behind an answer.

For each guidance text of steering/data/policies/default.toml the conversation
[user, assistant, system text] is rendered with transformers' apply_chat_template
and the generation prompt, cut behind the answer, and encoded by the tokenizer
that transformers rebuilds from the GGUF. Rows hold the text's axis and level,
what was written, and its ids.

    python scripts/golden_asides.py SMOLLM2.gguf
"""

import json
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
    rows = []
    for axis, levels in tomllib.loads(POLICY.read_text())["guidance"].items():
        for level, note in levels.items():
            text = aside(tokenizer, note)
            ids = tokenizer.encode(text, add_special_tokens=False)
            if tokenizer.decode(ids) != text:
                raise ValueError(f"{axis}.{level}: {tokenizer.decode(ids)!r} is not {text!r}")
            rows.append({"axis": axis, "level": int(level), "text": text, "ids": ids})
    lines = ",\n".join(json.dumps(row) for row in rows)
    GOLDEN.write_text(f"[\n{lines}\n]\n")


main()
