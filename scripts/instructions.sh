#!/bin/sh
# Instructions of a decode step, counted by valgrind: with an empty plan and with a capture, beside a plain step.
#
#     scripts/instructions.sh MODEL.gguf [TRIMTAB]
#
# A clock cannot see a thousandth. `bench --beside X -r 1` runs plain, X, plain: three runs of N steps. Two lengths
# subtract what is not a step (loading, binding, the first pages of the pool), and a run without X gives the plain
# step: X's step is what the three runs add less two plain ones. Steps of both lengths see the same contexts but for
# the longer one's last, whose attention every arm shares. One thread. valgrind knows no AVX-512, so the AVX2 kernels
# are counted, which need more instructions for the same products: a share of the wider kernels' step is larger by
# what they save, so the plain step is printed for comparison.
set -eu

model=$1
trimtab=${2:-target/release/trimtab}
short=2
long=6

# The instructions of the whole process.
count() {
    log=$(mktemp)
    valgrind --tool=none --version >/dev/null
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
        "$trimtab" bench -q -m "$model" -t 1 -p 0 -r 1 --no-warmup "$@" >/dev/null
    sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$log"
    rm -f "$log"
}

# Instructions of (long - short) steps in each of a process's runs, added.
steps() {
    few=$(count -n "$short" "$@")
    many=$(count -n "$long" "$@")
    echo $((many - few))
}

plain=$(steps)
echo "plain step: $((plain / (long - short))) instructions"
for arm in empty capture steered; do
    three=$(steps --beside "$arm")
    echo "$arm $plain $((three - 2 * plain))" |
        awk '{ printf "%s step: %+.4f %% of a plain step\n", $1, 100 * ($3 - $2) / $2 }'
done
