#!/usr/bin/env bash
# Makes and measures the vectors of examples/vectors, and prints the tables of docs/styles.md.
#
#   scripts/styles.sh [STYLE...]     enthusiastic refusal concise list capitals palrs; all of them without a word
#
# Directions come from examples/data; doses were chosen on examples/data/prompts/select.jsonl (`trimtab eval
# --calibrate --doses …`), and what is printed was measured on examples/data/prompts/test.jsonl, which nothing else read.
set -euo pipefail
cd "$(dirname "$0")/.."
trimtab=${TRIMTAB:-target/release/trimtab}
data=examples/data
out=examples/vectors
mkdir -p "$out" docs/pictures
states=$(mktemp -d)
trap 'rm -rf "$states"' EXIT

extract() { # name, summary, data, then flags
  local name=$1 summary=$2 from=$3
  shift 3
  "$trimtab" extract --quiet --data "$data/$from" --name "$name" --summary "$summary" --licence "Apache-2.0 OR MIT" \
    --split 0.8,0.2,0 --shard 1/1 -o "$states/$name" "$@"
  "$trimtab" merge --quiet "$states/$name" -o "$out/$name.safetensors"
}

# Twenty fits of what was extracted last to shuffled labels, as flags in `controls`.
shuffle() { # name
  local seed
  controls=()
  for seed in {1..20}; do
    "$trimtab" merge --quiet "$states/$1" --shuffle "$seed" -o "$states/$1.$seed.safetensors" >"$states/log"
    controls+=(--shuffled "$states/$1.$seed.safetensors")
  done
}

measure() { # name, rule, dose, instruction, then flags
  local name=$1 rule=$2 dose=$3 instruction=$4
  shift 4
  "$trimtab" eval "$out/$name.safetensors" --data "$data/prompts/test.jsonl" --rule "$rule" --doses "$dose" \
    --instruction "$instruction" --random 20 --write --plot "docs/pictures/$name.svg" "$@"
}

style() {
  printf '\n### %s\n\n' "$1"
  case $1 in
    enthusiastic)
      extract "$1" "more excited, with exclamation marks" enthusiastic.opening.jsonl --method mean_difference \
        --position shared_tail --sites resid_post.16
      shuffle "$1"
      measure "$1" exclaims 0.153 "Please answer in a very enthusiastic and excited way." --random-items 100 \
        "${controls[@]}" ;;
    refusal)
      extract "$1" "begins like a refusal" refusal.instruction.jsonl --method mean_difference --sites resid_post.16
      shuffle "$1"
      measure "$1" refusal 0.142 "Please politely refuse to answer this question." --random-items 100 \
        "${controls[@]}" ;;
    concise)
      extract "$1" "short answers that end by themselves" concise.instruction.jsonl --method mean_difference \
        --sites resid_post.13-17 --select all
      shuffle "$1"
      measure "$1" words:2-20 0.036 "Please keep your answer very short." --random-items 100 \
        "${controls[@]}" ;;
    list)
      extract "$1" "answers as lists" list.instruction.jsonl --method mean_difference --sites resid_post.16
      measure "$1" list 0.14 "Please give your answer as a bulleted list." --random-items 100 ;;
    capitals)
      extract "$1" "answers in capital letters" capitals.jsonl --method mean_difference --position mean_response \
        --sites resid_post.16
      measure "$1" capitals 0.14 "Please write your answer in all capital letters." --random-items 100 ;;
    palrs)
      extract "$1" "PaLRS's own recipe on pairs of excited and calm answers" enthusiastic.jsonl --method palrs
      measure "$1" exclaims 0.14 "Please answer in a very enthusiastic and excited way." --random-items 100 ;;
    *) echo "unknown style: $1" >&2; exit 2 ;;
  esac
}

for name in "${@:-enthusiastic refusal concise list capitals palrs}"; do
  for one in $name; do style "$one"; done
done
