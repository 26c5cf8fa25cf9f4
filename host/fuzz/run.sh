#!/usr/bin/env bash
# Runs what `cargo fuzz build` has built, one target after the other, and says what came of it. Used by `make fuzz`.
#
#   run.sh PROGRAMS WORK [TARGET…]     PROGRAMS has the built targets; corpora, logs and findings go below WORK
#
# FUZZ_SECONDS is how long each runs. What is found is added to the corpus in WORK, and goes on from there the next time.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
programs=$1 work=$2
shift 2
[ $# -gt 0 ] || set -- $(cd "$here/fuzz_targets" && printf '%s\n' *.rs | sed 's/\.rs$//')

# A line of the log's end: stat::NAME: NUMBER.
stat() { sed -n "s/^stat::$2: *//p" "$1" | tail -1; }

table=$(printf '%-10s %12s %8s %7s %7s %9s  %s' target executions seconds per-s cover inputs findings)
found=0
for target in "$@"; do
    corpus=$work/corpus/$target findings=$work/findings/$target log=$work/logs/$target.log
    mkdir -p "$corpus" "$findings" "$work/logs"
    lent=()
    [ ! -d "$here/seeds/$target" ] || lent+=("$here/seeds/$target"/*)
    while read -r of folder end; do
        [ "$of" != "$target" ] || lent+=("$repository/$folder"/*"$end")
    done < <(grep -v '^#' "$here/seeds.txt")
    for seed in "${lent[@]}"; do cp "$seed" "$corpus/seed-$(cksum <"$seed" | tr " " -)"; done

    echo "==> $target, for ${FUZZ_SECONDS:-60} s"
    before=$(ls "$findings" | wc -l)
    began=$SECONDS
    "$programs/$target" "$corpus" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=16384 -timeout=20 -rss_limit_mb=4096 \
        -print_final_stats=1 -artifact_prefix="$findings/" >"$log" 2>&1 || true
    executions=$(stat "$log" number_of_executed_units)
    cover=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -c6-)
    new=$(($(ls "$findings" | wc -l) - before))
    found=$((found + new))
    seconds=$((SECONDS - began))
    table+=$(printf '\n%-10s %12s %8s %7s %7s %9s  %s' "$target" "${executions:-?}" "$seconds" \
        "$((${executions:-0} / (seconds > 0 ? seconds : 1)))" "${cover:-?}" "$(ls "$corpus" | wc -l)" "$new")
    [ -n "$executions" ] || tail -n 20 "$log"
done
echo "$table"
[ "$found" = 0 ] || echo "$found findings, in $work/findings; the logs beside them say what did not hold"
[ "$found" = 0 ]
