#!/usr/bin/env bash
#
# How long `tfreg downloads` takes on a log of a million lines, beside `zcat | wc -l`: wall time, the middle of several rounds in
# which all take turns, and the ratio.
#
# Usage: benches/downloads.sh [LINES]     (default: 1000000)
#
# Build first: cargo build --release. ROUNDS=9 for more rounds.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lines=${1:-1000000} rounds=${ROUNDS:-5}
tfreg=$PWD/target/release/tfreg
[[ -x $tfreg ]] || { echo "build first: cargo build --release" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A third each of S3's log, CloudFront's with tabs, and CloudFront's JSON; each format becomes one file of so many lines.
testdata/make-logs.py "$work/made" "$((lines * 3))"
cat "$work"/made/s3/* | gzip -6 >"$work/s3.gz"
cat "$work"/made/cdn/* >"$work/tabs.gz"
cat "$work"/made/cdn-v2/* >"$work/json.gz"
rm -r "$work/made"

seconds() {
    local TIMEFORMAT=%R
    { time "$@" >/dev/null; } 2>&1
}
read_it() { zcat "$1" | wc -l; }
count_it() { "$tfreg" --quiet downloads "$1"; }
middle() { sort -n | sed -n "$((rounds / 2 + 1))p"; }

printf '%-6s %9s %12s %12s %7s\n' log lines 'zcat | wc' tfreg ratio
for log in s3 tabs json; do
    for _ in $(seq "$rounds"); do
        seconds read_it "$work/$log.gz" >>"$work/$log.read"
        seconds count_it "$work/$log.gz" >>"$work/$log.count"
    done
    read=$(middle <"$work/$log.read") count=$(middle <"$work/$log.count")
    printf '%-6s %9s %10s s %10s s %7s\n' "$log" "$(zcat "$work/$log.gz" | wc -l)" "$read" "$count" \
        "$(awk -v a="$count" -v b="$read" 'BEGIN { printf "%.2f", a / b }')"
done
