"""Makes made-up requests reach the model, and keeps them short: thousands of tokens prove nothing more."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        body["model"] = "smollm2-135m-instruct"
    if isinstance(body, dict) and ("messages" in body or "prompt" in body):
        most = body.get("max_tokens")
        if most is None or (isinstance(most, int) and (most > 4 or most == -1)):
            body["max_tokens"] = 4
