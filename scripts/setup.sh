#!/bin/sh
# Sees to it that there is an adapter to compute on, and prints the value to pass to --adapter.
#
# Does nothing where the system has one: Metal, DX12, a GPU with its Vulkan driver, or Mesa's software Vulkan driver
# (lavapipe) of version 24 or later; Mesa 22 stops long loops early and computes wrong numbers. Otherwise it installs
# Mesa's driver with apt-get, from the release's backports on a Debian whose own is too old.
# Prints `auto` for a GPU and `software` for Mesa's driver, which `auto` passes over, because the CPU path is faster.
# Prints `cpu` where there is no such driver and none could be installed; then it leaves no trace and says why. On
# other systems than Linux it prints `0`, the first adapter: DX12's software adapter where there is no GPU. All else
# that it says goes to standard error.
set -u
export LC_ALL=C

OLDEST_MESA=24
BACKPORTS_FILE=/etc/apt/sources.list.d/pgn-wgpu-backports.sources
PACKAGES='mesa-vulkan-drivers libvulkan1'

# The Vulkan driver's name that belongs to a GPU driver of the kernel.
VULKAN_DRIVERS='amdgpu:radeon i915:intel xe:intel nouveau:nouveau msm:freedreno v3d:broadcom asahi:asahi'

say() { echo "setup: $*" >&2; }

without_gpu() {
    say "$1; GPU tests are skipped and --adapter cpu is used"
    echo cpu
    exit 0
}

# --- What is there -----------------------------------------------------------------------------------------------

# Paths of a shared library, given by name or path.
library() {
    case $1 in
        /*) ls "$1" 2>/dev/null ;;
        *) ls /usr/lib/*/"$1" /usr/lib64/"$1" /usr/lib/"$1" /lib/*/"$1" /usr/local/lib/"$1" 2>/dev/null ;;
    esac
}

# Paths of the Vulkan loader's manifests of a driver, `lvp` for instance.
manifests() {
    chosen=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$chosen" ]; then
        echo "$chosen" | tr : '\n' | grep "/${1}_"
        return
    fi
    for folder in /etc /usr/local/etc /usr/local/share /usr/share "${HOME:-}/.local/share"; do
        ls "$folder/vulkan/icd.d/$1"_* 2>/dev/null
    done
}

# The newest Mesa among the installed software Vulkan drivers, 0 if there is none.
lavapipe_version() {
    manifests lvp | while read -r manifest; do
        for file in $(library "$(sed -n 's/.*"library_path": *"\([^"]*\)".*/\1/p' "$manifest")"); do
            grep -aoE 'Mesa [0-9]+\.[0-9]+' "$file" | grep -oE '[0-9]+' | head -n 1
        done
    done | sort -n | tail -n 1 | grep . || echo 0
}

# Whether there is a GPU that may be opened and has its Vulkan driver.
gpu() {
    for node in /sys/class/drm/renderD*; do
        [ -r "/dev/dri/${node##*/}" ] && [ -w "/dev/dri/${node##*/}" ] || continue
        driver=$(basename "$(readlink -f "$node/device/driver")")
        for pair in $VULKAN_DRIVERS; do
            [ "${pair%:*}" = "$driver" ] && [ -n "$(manifests "${pair#*:}")" ] && return 0
        done
    done
    [ -e /dev/nvidiactl ] && [ -n "$(library libGLX_nvidia.so.0)" ] && [ -n "$(manifests nvidia)" ]
}

usable() {
    [ -n "$(library libvulkan.so.1)" ] && { gpu || [ "$(lavapipe_version)" -ge $OLDEST_MESA ]; }
}

# The value for --adapter where there is a usable driver.
adapter() {
    if gpu; then echo auto; else echo software; fi
}

# --- What can be installed ---------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Its output is shown only if it fails.
apt_get() {
    if output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=120 "$@" 2>&1 </dev/null); then
        return 0
    fi
    echo "$output" | tail -n 5 >&2
    return 1
}

# Major version of the Mesa that apt would install, given a release to prefer or nothing; 0 if there is none.
offered() {
    apt-cache policy -o "APT::Default-Release=$1" mesa-vulkan-drivers 2>/dev/null |
        sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9][0-9]*\).*/\2/p' | grep . || echo 0
}

# URI of the archive from which apt takes a release of Debian.
archive() {
    # shellcheck disable=SC2016 # apt's own variable
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' "Codename: $1" 2>/dev/null |
        grep -v '^cdrom:' | head -n 1
}

# Backports of a Debian release, from the same archive as the release itself.
add_backports() {
    [ -n "$(archive "$1-backports")" ] && return
    uri=$(archive "$1")
    [ -n "$uri" ] || return
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    {
        printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$1"
        if [ -e "$keyring" ]; then echo "Signed-By: $keyring"; fi
    } | as_root install -m 644 /dev/stdin "$BACKPORTS_FILE" || return
    added=yes
    apt_get update && [ -n "$(archive "$1-backports")" ]
}

# Takes back what add_backports did, unless Mesa was installed from there.
added=no
withdraw_backports() {
    [ $added = no ] || as_root rm -f "$BACKPORTS_FILE"
}
trap withdraw_backports EXIT
trap 'exit 130' INT TERM

# --- What is done ------------------------------------------------------------------------------------------------

if [ "$(uname -s)" != Linux ]; then
    echo 0
    exit 0
fi
if usable; then
    adapter
    exit 0
fi

version=$(lavapipe_version)
if [ "$version" = 0 ]; then
    found='there is no Vulkan driver'
else
    found="the software Vulkan driver is Mesa $version, too old to be trusted"
fi
remedy="install Mesa $OLDEST_MESA or later with its Vulkan drivers ($PACKAGES)"

command -v apt-get >/dev/null || without_gpu "$found, and there is no apt-get: $remedy"
if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    without_gpu "$found, and only root can change that: run sudo sh scripts/setup.sh, or $remedy"
fi

say "$found; installing Mesa's with apt-get"
ID='' VERSION_CODENAME='' PRETTY_NAME='this system'
# shellcheck disable=SC1091 # the system's
[ -r /etc/os-release ] && . /etc/os-release

apt_get update || say 'going on with the package lists that are there'
release=''
if [ "$ID" = debian ] && [ "$(offered "$release")" -lt $OLDEST_MESA ]; then
    add_backports "$VERSION_CODENAME" && release=$VERSION_CODENAME-backports
fi
version=$(offered "$release")
if [ "$version" -lt $OLDEST_MESA ]; then
    [ "$version" = 0 ] && version=none
    without_gpu "apt-get can fetch no Mesa $OLDEST_MESA or later on $PRETTY_NAME (newest: $version); $remedy"
fi
# shellcheck disable=SC2086 # several words each
apt_get install --no-install-recommends ${release:+-t $release} $PACKAGES ||
    without_gpu "apt-get could not install Mesa $version; $remedy"
usable || without_gpu "Mesa $version was installed, but no software Vulkan driver came with it; $remedy"
if [ $added = yes ]; then
    added=no
    say "apt's sources now have $BACKPORTS_FILE"
fi
say "installed Mesa $version"
# With the packages a GPU may have got its driver, or the loader that its driver lacked.
adapter
