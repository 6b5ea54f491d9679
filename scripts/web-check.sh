#!/bin/sh
# What `make web-check` and `make portability` run. Installs npm packages into target/web-check, which git ignores.
#
#   sh scripts/web-check.sh browser   the page of `export --web` in headless Chromium, beside the CPU path
#   sh scripts/web-check.sh dawn      every form of every kernel that can exist in browsers, and the page's programs, through Dawn
#
# Where Node.js, npm or Chromium is absent, it says so and fails: `make test` is what goes on without them.
set -eu

PLAYWRIGHT=1.65.1
DAWN=0.6.2

cd "$(dirname "$0")/.."
folder=target/web-check

lack() {
    echo "$1: nothing was checked, because there is no $2" >&2
    exit 1
}

# Chromium has several names. `command -v` of dash looks at the first of them alone.
has_chromium() {
    test -z "${CHROMIUM:-}" || return 0
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

install() {
    mkdir -p "$folder"
    test -f "$folder/package.json" || echo '{"private": true}' >"$folder/package.json"
    grep -qs "\"version\": *\"${1#*@}\"" "$folder/node_modules/${1%@*}/package.json" ||
        npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent "$1"
}

case "$1" in
browser)
    command -v node >/dev/null && command -v npm >/dev/null || lack web-check 'Node.js with npm'
    has_chromium || lack web-check 'Chromium in PATH (CHROMIUM may name one)'
    install "playwright-core@$PLAYWRIGHT"
    PGN_REQUIRE_BROWSER=1 cargo test --test web -- --nocapture --skip dawn
    ;;
dawn)
    command -v node >/dev/null && command -v npm >/dev/null || lack portability 'Node.js with npm'
    install "webgpu@$DAWN"
    calls=$folder/calls
    rm -rf "$calls" && mkdir -p "$calls"
    PGN_RECORD_CALLS="$(pwd)/$calls" PGN_TEST_ADAPTER=cpu cargo test --test kernels
    node tests/web/kernels.mjs "$calls" "$folder"
    PGN_REQUIRE_BROWSER=1 cargo test --test web -- --nocapture dawn
    ;;
*)
    echo "web-check.sh: browser or dawn, not $1" >&2
    exit 2
    ;;
esac
