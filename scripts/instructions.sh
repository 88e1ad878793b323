#!/bin/sh
# Instructions of a decode step, counted by valgrind: with an empty plan, a capture or steering, beside a plain step.
#
#     scripts/instructions.sh MODEL.gguf [TRIMTAB]
#
# A clock cannot see a thousandth. `bench --beside X -r 1` runs plain, X, plain, and `bench -r 3` plain three times:
# what the first has more is X's. Two lengths subtract what is not a step (loading, binding, the first pages of the
# pool). Figures scatter by some 0.15 % of a step at these lengths, and less at larger ones. One thread. valgrind knows no
# AVX-512, so the AVX2 kernels run, whose step is longer: a share of a step of the wider kernels is larger by the
# ratio of the two.
set -eu

model=$1
trimtab=${2:-target/release/trimtab}
short=2
long=10

# The instructions of the whole process.
count() {
    log=$(mktemp)
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
        "$trimtab" bench -q -m "$model" -t 1 -p 0 --no-warmup "$@" >/dev/null
    sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$log"
    rm -f "$log"
}

# Instructions of (long - short) steps in each of a process's three runs.
steps() {
    few=$(count -n "$short" "$@")
    many=$(count -n "$long" "$@")
    echo $((many - few))
}

plain=$(steps -r 3)
echo "plain: $((plain / 3 / (long - short))) instructions a step"
for arm in ${ARMS:-empty capture steered}; do
    echo "$arm $plain $(steps -r 1 --beside "$arm")" |
        awk '{ printf "%s: %+.3f %% of a plain step\n", $1, 100 * ($3 - $2) / ($2 / 3) }'
done
