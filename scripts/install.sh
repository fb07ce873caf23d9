#!/bin/sh
# Installs crpe: fetches the archive for this machine, checks it against the checksums below, and puts the executable into
# a folder. Nothing is changed unless the checksum is right.
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
    *) fail "there is no option $argument" ;;
  esac
done
[ -n "$version" ] || fail "this is the template; scripts/release makes the installer"
[ -n "$url" ] || fail "say where the release lies: --from=URL or --from=FOLDER"
# Termux has its own place for programs, and a user without rights on the system's a folder of their own.
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
  *) fail "there is no release for $(uname -m): a 64-bit system is needed" ;;
esac
name=crpe-$version-$machine-$system
expected=$(printf '%s\n' "$sums" | sed -n "s/^\([0-9a-f]\{64\}\)  $name\.tar\.xz\$/\1/p")
[ -n "$expected" ] || fail "this release has nothing for $machine-$system"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/$name.tar.xz
case $url in
  http://* | https://*) curl -fsSL -o "$archive" "$url/$name.tar.xz" || fail "cannot fetch $url/$name.tar.xz" ;;
  *) cp "$url/$name.tar.xz" "$archive" || fail "cannot read $url/$name.tar.xz" ;;
esac
if command -v sha256sum >/dev/null; then found=$(sha256sum "$archive"); else found=$(shasum -a 256 "$archive"); fi
[ "${found%% *}" = "$expected" ] || fail "the checksum of $name.tar.xz is wrong; nothing was installed"
tar -xJf "$archive" -C "$work"
mkdir -p "$dir"
# Beside it and then renamed: a running crpe keeps the file that it was started from.
cp "$work/$name/crpe" "$dir/.crpe.new"
chmod 755 "$dir/.crpe.new"
mv "$dir/.crpe.new" "$dir/crpe"
echo "installed $("$dir/crpe" --version) as $dir/crpe"
