"""Rounds of alternating measurements, for the benchmark scripts: medians, ratios and their spread.

Every arm of a test runs once unmeasured, then the arms take turns: A B C A B C. A ratio is of medians; its spread is
the smallest and largest ratio within one round, where both arms met the same machine.
"""

import json
import statistics
import subprocess
import sys


def alternate(arms, rounds):
    """Run {name: function that gives a number} in turn; {name: numbers}."""
    for run in arms.values():
        run()
    values = {name: [] for name in arms}
    for _ in range(rounds):
        for name, run in arms.items():
            values[name].append(run())
    return values


def ratio(ours, theirs):
    """The ratio of medians, the smallest and the largest of a round."""
    single = [a / b for a, b in zip(ours, theirs)]
    middle = statistics.median(ours) / statistics.median(theirs)
    return middle, min(single), max(single)


def ratio_text(ours, theirs):
    """A ratio for a table."""
    middle, low, high = ratio(ours, theirs)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def bench(program, gguf, threads, arguments):
    """The document of one call of trimtab's own benchmark."""
    command = [str(program), "bench", "-q", "--json", "-m", str(gguf), "-t", str(threads),
               *arguments]
    return json.loads(output(command))


def measure_limits():
    """What the machine can do at most, by number of threads (`cargo bench --bench limits`)."""
    lines = output(["cargo", "bench", "-q", "-p", "trimtab-runtime", "--features", "testing",
                    "--bench", "limits"]).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    for limit in found:
        print(f"limits with {limit['threads']} threads: {limit['read_bytes_per_s'] / 1e9:.1f} GB/s"
              f" read, {limit['int8_madds_per_s'] / 1e9:.0f} G int8 and"
              f" {limit['f32_madds_per_s'] / 1e9:.0f} G f32 multiply-adds/s")
    return {limit["threads"]: limit for limit in found}


def output(command):
    """What a program prints; its complaints are shown where it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print(result.stderr, file=sys.stderr)
        raise SystemExit(f"{command[0]} failed with {result.returncode}")
    return result.stdout


def table_head(columns):
    """The first two lines of a table whose first column is text."""
    print("| " + " | ".join(columns) + " |")
    print("| --- |" + " --: |" * (len(columns) - 1), flush=True)


def table_row(cells):
    """One line of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)
