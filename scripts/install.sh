#!/bin/sh
# Installs crpe: fetches the archive for this machine, verifies it with the checksums below, and copies the executable into
# a folder. Nothing is changed unless the checksum matches.
#   sh install.sh [--dir=/usr/local/bin] [--from=URL-or-folder]
set -eu
version=
url=
sums=

fail() {
  echo "install: $1" >&2
  exit 1
}

dir=
for argument in "$@"; do
  case $argument in
    --dir=*) dir=${argument#*=} ;;
    --from=*) url=${argument#*=} ;;
    *) fail "unknown option $argument" ;;
  esac
done
[ -n "$version" ] || fail "this file is the template; scripts/release creates the installer"
[ -n "$url" ] || fail "name the location of the release: --from=URL or --from=FOLDER"
# Termux has its own folder for programs. Users without write access to /usr/local/bin get ~/.local/bin.
if [ -z "$dir" ]; then
  if [ -n "${PREFIX:-}" ] && [ -d "$PREFIX/bin" ]; then dir=$PREFIX/bin
  elif [ -w /usr/local/bin ]; then dir=/usr/local/bin
  else dir=$HOME/.local/bin
  fi
fi
case $(uname -s) in
  Linux) system=unknown-linux-gnu ;;
  Darwin) system=apple-darwin ;;
  *) fail "there is no release for $(uname -s)" ;;
esac
case $(uname -m) in
  x86_64 | amd64) machine=x86_64 ;;
  aarch64 | arm64) machine=aarch64 ;;
  *) fail "there is no release for $(uname -m): a 64-bit system is required" ;;
esac
name=crpe-$version-$machine-$system
expected=$(printf '%s\n' "$sums" | sed -n "s/^\([0-9a-f]\{64\}\)  $name\.tar\.xz\$/\1/p")
[ -n "$expected" ] || fail "this release has no archive for $machine-$system"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/$name.tar.xz
case $url in
  http://* | https://*) curl -fsSL -o "$archive" "$url/$name.tar.xz" || fail "cannot fetch $url/$name.tar.xz" ;;
  *) cp "$url/$name.tar.xz" "$archive" || fail "cannot read $url/$name.tar.xz" ;;
esac
if command -v sha256sum >/dev/null; then found=$(sha256sum "$archive"); else found=$(shasum -a 256 "$archive"); fi
[ "${found%% *}" = "$expected" ] || fail "the checksum of $name.tar.xz does not match; nothing was installed"
tar -xJf "$archive" -C "$work"
mkdir -p "$dir"
# Copied under another name and then renamed, so that a running crpe keeps the file that it was started from.
cp "$work/$name/crpe" "$dir/.crpe.new"
chmod 755 "$dir/.crpe.new"
# A crpe that works is not replaced with one that cannot start here: an older glibc, another libc.
"$dir/.crpe.new" --version >/dev/null || {
  rm -f "$dir/.crpe.new"
  fail "this crpe does not start on this machine; nothing was changed"
}
mv "$dir/.crpe.new" "$dir/crpe"
echo "installed $("$dir/crpe" --version) as $dir/crpe"
