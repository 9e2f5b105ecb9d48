#!/usr/bin/env bash
# Runs every test and adds up the counts. Arguments: the programs, and those of them that run under memory checkers.
# The last line is "N passed, N failed"; the exit status is 0 only if nothing failed. Called by the Makefile.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

read -ra programs <<<"$1"
read -ra memory_programs <<<"$2"
build=c_tests/build
cargo=${CARGO:-cargo}
profile=${PROFILE:-release}
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

title() {
    printf '\n##### %s\n' "$1"
}

# one NAME STATUS: counts a step that has no counts of its own.
one() {
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s (status %d)\n' "$1" "$2"
    fi
}

# counted NAME STATUS: adds the counts of the last line of the log. A step that ended badly without a failed count, or
# without counts at all, is one failure.
counted() {
    local name=$1 status=$2 line good bad
    line=$(tail -n 1 "$log" | grep -E '^[0-9]+ passed, [0-9]+ failed$')
    if [ -z "$line" ]; then
        printf 'FAILED %s: it ended with status %d and without its counts\n' "$name" "$status"
        failed=$((failed + 1))
        return
    fi
    read -r good _ bad _ <<<"$line"
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        printf 'FAILED %s (status %d)\n' "$name" "$status"
        failed=$((failed + 1))
    fi
}

finish() {
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

rust_tests() {
    local status good bad
    title "Rust tests"
    "$cargo" test --locked --no-fail-fast 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    good=$(awk '/^test result: / { for (i = 2; i <= NF; i++) if ($i == "passed;") n += $(i - 1) } END { print n + 0 }' "$log")
    bad=$(awk '/^test result: / { for (i = 2; i <= NF; i++) if ($i == "failed;") n += $(i - 1) } END { print n + 0 }' "$log")
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "FAILED cargo test (status $status)"
        failed=$((failed + 1))
    fi
}

rust_tests

title "building the library and the programs ($profile)"
if ! make -C c_tests --no-print-directory programs PROFILE="$profile"; then
    one "the C and C++ programs could not be built" 1
    finish
fi

for program in "${programs[@]}"; do
    title "$program"
    "$build/$program" 2>&1 | tee "$log"
    counted "$program" "${PIPESTATUS[0]}"
done

if command -v valgrind >/dev/null 2>&1; then
    title "valgrind"
    make -C c_tests --no-print-directory valgrind PROFILE="$profile" >"$log" 2>&1
    status=$?
    [ "$status" -eq 0 ] || cat "$log"
    one valgrind "$status"
else
    title "valgrind is not installed: memory is checked by AddressSanitizer alone"
fi

title "AddressSanitizer"
make -C c_tests --no-print-directory asan PROFILE="$profile" >"$log" 2>&1
status=$?
[ "$status" -eq 0 ] || cat "$log"
one "AddressSanitizer" "$status"

finish
