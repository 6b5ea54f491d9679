#!/bin/sh
# Packs a built program for a release, with licences, completions for shells and manual pages.
#
#   sh scripts/package.sh BINARY TARGET FOLDER [GLIBC]
#
# Writes FOLDER/pgn-wgpu-VERSION-TARGET.tar.gz (.zip for Windows). The program must run on this machine: completions and
# pages come from it, and so does one epoch of training on the CPU path, which must succeed. GLIBC is the newest version
# of glibc that the program may ask for, such as 2.28.
set -eu
cd "$(dirname "$0")/.."

binary=$1
target=$2
out=$3
glibc=${4:-}

fail() {
    echo "package: $1" >&2
    exit 1
}

[ -x "$binary" ] || fail "there is no program $binary"
version=$("$binary" --version | head -n 1 | cut -d ' ' -f 2)
wanted=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
[ "$version" = "$wanted" ] || fail "$binary is version $version, and Cargo.toml says $wanted"

if [ -n "$glibc" ]; then
    needed=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -u -V | tail -n 1 | cut -d _ -f 2)
    newest=$(printf '%s\n%s\n' "$needed" "$glibc" | sort -V | tail -n 1)
    [ "$newest" = "$glibc" ] || fail "$binary needs glibc $needed, which is newer than $glibc"
    echo "glibc $needed or later"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$binary" train --adapter cpu --epochs 1 --quiet --out "$work/run" >/dev/null || fail "$binary cannot train"

name=pgn-wgpu-$version-$target
folder=$work/$name
mkdir -p "$folder/completions" "$out"
cp "$binary" LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md "$folder"
cp assets/README.md "$folder/LICENSES-OF-DATA.md"
cp assets/figures-OFL.txt "$folder"
for shell in bash elvish fish powershell zsh; do
    "$binary" completions "$shell" >"$folder/completions/pgn-wgpu.$shell"
done
"$binary" man --out "$folder/man" >/dev/null

out=$(cd "$out" && pwd)
case $target in
*windows*)
    archive=$name.zip
    (cd "$work" && 7z a -bso0 "$out/$archive" "$name")
    ;;
*)
    archive=$name.tar.gz
    tar -C "$work" -czf "$out/$archive" "$name"
    ;;
esac
echo "$out/$archive"
