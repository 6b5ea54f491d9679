#!/bin/sh
# What `make swiftshader` runs: the tests of kernels on SwiftShader, the software Vulkan driver that comes with Chromium. Its
# compiler and its subgroups of four are others than lavapipe's. It is slow, so each test is a process of its own with a
# limit, and the table says how long each took.
#
#   sh scripts/swiftshader.sh [NAME...]   the tests whose names have one of these parts, or all
#
# SWIFTSHADER names the driver's manifest (default: that of Debian's chromium), LIMIT the seconds of a test (1800), KERNELS a
# built test binary. It exits with 1 if a test fails, and where the driver is absent.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit

manifest=${SWIFTSHADER:-/usr/lib/chromium/vk_swiftshader_icd.json}
if [ ! -r "$manifest" ]; then
    echo "swiftshader: nothing was checked, because there is no $manifest; install chromium, or name the manifest by SWIFTSHADER" >&2
    exit 1
fi
# The loader's name of today, and that of before 1.3.207.
export VK_DRIVER_FILES="$manifest" VK_ICD_FILENAMES="$manifest"
export PGN_TEST_ADAPTER=swiftshader PGN_REQUIRE_GPU=1

if [ -z "${KERNELS:-}" ]; then
    cargo test --no-run --test kernels || exit
    KERNELS=$(cargo test --no-run --test kernels --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep /kernels- | tail -n 1)
fi

folder=target/swiftshader
rm -rf "$folder" && mkdir -p "$folder"
tests=$("$KERNELS" --list | sed -n 's/: test$//p')
[ $# = 0 ] || tests=$(for part in "$@"; do echo "$tests" | grep -F -e "$part"; done | sort -u)
[ -n "$tests" ] || { echo "swiftshader: no test has such a name: $*" >&2; exit 2; }

passed=0 failed=0 began=$(date +%s)
for name in $tests; do
    since=$(date +%s)
    log=$folder/$(echo "$name" | tr : -).log
    if timeout --kill-after=5 "${LIMIT:-1800}" "$KERNELS" --exact "$name" >"$log" 2>&1; then
        state=ok passed=$((passed + 1))
    else
        state=FAILED failed=$((failed + 1))
    fi
    printf '%-8s %6s s  %s\n' $state $(($(date +%s) - since)) "$name"
    [ $state = ok ] || tail -n 20 "$log"
done
echo "$passed passed, $failed failed, $(($(date +%s) - began)) s"
[ $failed = 0 ]
