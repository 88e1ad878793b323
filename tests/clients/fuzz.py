"""schemathesis against the document that the server publishes: no request of any shape may end in a 5xx."""

import os
import pathlib
import subprocess
import sys

from server import Server

# Every status that is answered is in the document, every body fits its schema, and nothing fails inside.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = os.environ.get("TRIMTAB_TEST_EXAMPLES", "25")


def main():
    hooks = pathlib.Path(__file__).with_name("fuzz_hooks.py")
    with Server("--parallel", 2, "--admin-key", "boss", "--admin", "--max-queue", 8) as server:
        command = [
            *("schemathesis", "run", server.url + "/openapi.json", "--checks", CHECKS),
            *("--max-examples", EXAMPLES, "--header", "Authorization: Bearer boss", "--request-timeout", "60"),
            *("--seed", "7", "--phases", "examples,coverage,fuzzing", "--no-color", "--suppress-health-check", "all"),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": hooks.stem, "PYTHONPATH": str(hooks.parent)}
        done = subprocess.run(command, env=environment)
        if done.returncode != 0:
            sys.stderr.write("".join(server.log[-20:]))
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
