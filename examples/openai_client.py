"""The official OpenAI client, unchanged, against `trimtab serve`: plain, streamed and steered.

    cargo run --release -- serve --vector enthusiastic=examples/vectors/enthusiastic.safetensors
    pip install openai
    python examples/openai_client.py
"""

import sys

import openai

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/v1"
client = openai.OpenAI(base_url=address, api_key="none")
model = client.models.list().data[0].id
question = [{"role": "user", "content": "What should I do on a rainy day?"}]


def ask(steering=None):
    """Prints an answer as it comes; the receipt, if it was steered."""
    receipt = None
    stream = client.chat.completions.create(
        model=model,
        messages=question,
        max_tokens=60,
        temperature=0,
        stream=True,
        extra_body={"steering": steering} if steering else None,
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
        receipt = getattr(chunk, "steering", None) or receipt
    print("\n")
    return receipt


print("plain:")
ask()
print("steered:")
receipt = ask({"vectors": [{"id": "enthusiastic", "scale": 6.0}]})
for vector in receipt["vectors"]:
    for site in vector["sites"]:
        print(f"{vector['id']} acted on {site['tokens']} tokens at {site['site']}")
