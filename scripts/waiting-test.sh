#!/bin/sh
# scripts/waiting exits with its command's status, and leaves no process behind: at its end, or after a signal.
set -eu
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
failed=0
bad() { echo "waiting-test: $*"; failed=1; }

# Runs in a session of its own, so that remaining processes are found by their group. INT and HUP have their default
# action, also in the background and under nohup.
begin() { env --default-signal=INT --default-signal=HUP setsid sh -c 'echo $$ >"$0/group"; exec scripts/waiting it "" "$@"' "$dir" "$@"; }
left() { kill -s 0 -- "-$(cat "$dir/group")" 2>/dev/null; }

for status in 0 3; do
    begin sh -c "exit $status" && got=0 || got=$?
    [ "$got" = $status ] || bad "status $got, not the command's $status"
    ! left || bad "something is left after status $status"
done
for signal in INT TERM HUP; do
    rm -f "$dir/begun"
    begin sh -c ': >"$0/begun"; exec sleep 60' "$dir" 2>/dev/null &
    waited=$!
    until [ -e "$dir/begun" ]; do sleep 0.1; done
    kill -s $signal -- "-$(cat "$dir/group")"
    wait $waited && got=0 || got=$?
    [ "$got" -gt 128 ] || bad "status $got after $signal"
    ! left || bad "something is left after $signal"
done
[ "$failed" = 0 ] && echo "waiting-test: nothing is left"
exit "$failed"
