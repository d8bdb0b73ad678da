#!/bin/sh
# Runs the Go benchmarks of the working tree and of another commit in turn, and compares them with benchstat.
# Usage: tools/bench-compare.sh BENCHSTAT COMMIT COUNT [ARGUMENTS OF go test]
set -eu

benchstat=$1 commit=$2 count=$3
shift 3
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

mkdir "$work/tree"
git -C "$here" archive "$commit" | tar -x -C "$work/tree"

# run DIRECTORY FILE ARGUMENTS: the benchmarks of all packages but those that start whole installations.
run() {
	directory=$1 file=$2
	shift 2
	(cd "$directory" && go test -run '^$' -bench . -benchmem "$@" $(go list ./... | grep -v /test/)) >>"$file"
}

i=0
while [ "$i" -lt "$count" ]; do # in turn, so that a machine that gets slower does so for both
	i=$((i + 1))
	echo "bench-compare: round $i of $count" >&2
	run "$work/tree" "$work/before" "$@"
	run "$here" "$work/after" "$@"
done
"$benchstat" "$commit=$work/before" "now=$work/after"
