#!/bin/sh
# The product contains nothing of the test image: no symbol of its crates, and none of the facts that only its steps
# print. The same search must find them in the test image; this shows that the search works.
#   scripts/check-product.sh PRODUCT TEST_IMAGE
set -eu
cd "$(dirname "$0")/.."
product=${1:?usage: scripts/check-product.sh PRODUCT TEST_IMAGE} test_image=${2:?usage: scripts/check-product.sh PRODUCT TEST_IMAGE}
# Symbols of the crate and of its modules; symbols of the library of soak and benchmarks; facts.
symbols='postern_test postern_test..soak postern_test..bench postern_test..canary postern_test..breach
postern_test..warm postern_test..registry workloads..soak workloads..bench workloads..one_way workloads..registry'
facts='soak\.requests bench\.ready breach\.address canary\.heap memory\.filled_bytes read_polled_ns tests\.skipped'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
powerpc64le-linux-gnu-nm -C "$product" >"$work/product"
powerpc64le-linux-gnu-nm -C "$test_image" >"$work/test"
failed=0
for symbol in $symbols; do
    if grep "$symbol" "$work/product"; then echo "check-product: $product has $symbol"; failed=1; fi
    grep -q "$symbol" "$work/test" || { echo "check-product: $test_image has no $symbol: the search would find nothing"; failed=1; }
done
for fact in $facts; do
    if grep -qa "$fact" "$product"; then echo "check-product: $product says $fact"; failed=1; fi
    grep -qa "$fact" "$test_image" || { echo "check-product: $test_image does not say $fact: the search would find nothing"; failed=1; }
done
[ "$failed" = 0 ] && echo "check-product: $(echo $symbols $facts | wc -w) names, none in $product"
exit "$failed"
