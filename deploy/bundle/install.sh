#!/bin/sh
# Installs one environment of this bundle into PREFIX, a new folder, without a network:
#
#   ./install.sh PREFIX [ENVIRONMENT]     quarry, the default, or another of the folder environments
#
# PYTHON names the interpreter. Nothing is written outside PREFIX; where it fails, PREFIX is removed again.
set -eu
umask 022
LC_ALL=C
export LC_ALL

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

bundle=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
environments=$(cd "$bundle/environments" && echo *)
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	echo "usage: $0 PREFIX [ENVIRONMENT], which is one of: $environments" >&2
	exit 2
fi
environment=${2:-quarry}
case $1 in
	/*) prefix=$1 ;;
	*) prefix=$PWD/$1 ;;
esac
here=$bundle/environments/$environment

step() { echo "$* ..." >&2; }

# First, since all that follows is read from it.
step "comparing every file with its checksum"
wrong=$(cd "$bundle" && sha256sum --check --strict --quiet SHA256SUMS 2>&1) || fail "this bundle is damaged:
$wrong"
[ -d "$here" ] || fail "there is no environment $environment in this bundle, but: $environments"
needs_python='' needs_glibc='' needs_kib=''
# shellcheck source=/dev/null
. "$here/needs.env"

machine="$(uname -s) $(uname -m)"
[ "$machine" = "Linux x86_64" ] || fail "this bundle is for Linux x86_64, and this is $machine"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc="another library"
oldest=$(printf '%s\n' "$needs_glibc" "${libc#glibc }" | sort -V | head -n 1)
[ "$oldest" = "$needs_glibc" ] && [ "${libc#glibc }" != "$libc" ] ||
	fail "$environment needs glibc $needs_glibc, and here is $libc"

python=${PYTHON:-python$needs_python}
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.implementation.name)' 2>/dev/null) || found="no Python"
[ "$found" = "$needs_python cpython" ] ||
	fail "this bundle is for CPython $needs_python, and $python is ${found% cpython}: name one, PYTHON=/path/to/python$needs_python $0 ..."

[ ! -e "$prefix" ] || fail "$prefix is there already: remove it, or name another"
above=$prefix
while [ ! -d "$above" ]; do above=$(dirname -- "$above"); done
[ -w "$above" ] || fail "$above cannot be written to"
free=$(df -Pk -- "$above" | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$needs_kib" ] || fail "$environment takes up to $needs_kib KiB, and $above has $free KiB free"

undo() { rm -rf -- "$prefix"; }
trap 'undo; exit 1' INT TERM HUP
trap undo EXIT
mkdir -p -- "$(dirname -- "$prefix")"
step "making a virtual environment in $prefix"
"$python" -I -m venv -- "$prefix" || fail "$python makes no virtual environment; Debian has that in python3-venv"
step "installing $(grep -c '==' "$here/requirements.txt") wheels, a minute or two"
# Neither the variables nor the files of a configured pip: what is installed is what is here.
PIP_CONFIG_FILE=/dev/null "$prefix/bin/python" -I -m pip --isolated install --quiet --disable-pip-version-check \
	--no-index --no-deps --no-cache-dir --only-binary :all: --require-hashes \
	--find-links "$bundle/wheels" --requirement "$here/requirements.txt" || fail "pip did not install $environment"
mkdir -p "$prefix/share/doc/quarry"
cp "$here/sbom.cdx.json" "$here/THIRD_PARTY_LICENSES.txt" "$bundle/LICENSE" "$bundle/NOTICE" "$prefix/share/doc/quarry/"
trap - EXIT INT TERM HUP
echo "$prefix/bin/$environment is installed"
