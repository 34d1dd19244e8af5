#!/bin/sh
# scripts/junit.sh must count passed and failed tests, escape characters that XML does not allow, and report a failure
# that no test in the log had.
set -eu
cd "$(dirname "$0")/.."
failed=0
log='     Running unittests src/lib.rs (target/debug/deps/postern_core-0123456789abcdef)
test a::b ... ok
test a::"c<d>&" ... FAILED
check: no path of this machine: ok
test result: FAILED. 2 passed; 1 failed; 0 ignored
'
holds() { # text, failures, wanted...
    xml=$(printf '%s' "$1" | scripts/junit.sh host "$2"); shift 2
    for wanted; do
        case $xml in *"$wanted"*) ;; *) echo "junit-test: no $wanted in: $xml"; failed=1 ;; esac
    done
}
holds "$log" 1 '<testsuite name="host" tests="3" failures="1">' '<testcase classname="host.postern_core" name="a::b"/>' \
    'name="a::&quot;c&lt;d&gt;&amp;&quot;"><failure' 'name="no path of this machine"/>'
holds "$log" 2 'tests="4" failures="2"' 'name="the whole part"><failure'
holds 'error: could not compile' 1 'tests="1" failures="1"' '<testcase classname="host" name="the whole part"><failure'
exit "$failed"
