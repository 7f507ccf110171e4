#!/usr/bin/env bash
# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Installs those packages of Debian 12 or 13 that neural.deal needs and that
# are missing. With all of them there it does nothing and needs no network.
# On another system, or where the user may not install, it prints the list and
# leaves it to CMake to say what is not found.
#
#   cmake/install-dependencies.sh [--surrogates] [--tests] [--list]
#
#   --surrogates  what the surrogates room needs by itself: no deal.II, no MPI
#   --tests       also what only the tests need
#   --list        print the packages, install nothing

set -u
export LC_ALL=C

surrogates=no
tests=no
list=no
for argument in "$@"; do
  case "$argument" in
    --surrogates) surrogates=yes ;;
    --tests) tests=yes ;;
    --list) list=yes ;;
    -h | --help)
      sed -n '5,15s/^#\( \|$\)//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      echo "install-dependencies.sh: unknown option $argument" >&2
      exit 2
      ;;
  esac
done

system=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}")

packages=(
  g++
  cmake
  ninja-build
  ccache
  libtorch-dev
  libopenblas0-pthread # the reference BLAS is thirty times slower
  nlohmann-json3-dev
  libcli11-dev
  libfmt-dev
  libgtest-dev
)
if [ $surrogates = yes ]; then
  packages+=(libhdf5-dev)
else
  packages+=(
    libdeal.ii-dev
    libhdf5-openmpi-dev
    openmpi-bin
    gnuplot-nox
  )
  # deal.II of Debian 13 makes its programs link with mold.
  [ "$system" != "debian 13" ] || packages+=(mold)
fi
if [ $tests = yes ]; then
  packages+=(python3-h5py valgrind)
  # Its tutorial programs are run with the library for PETSc.
  [ $surrogates = yes ] || packages+=(libdeal.ii-doc)
fi

if [ $list = yes ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

# Prints what to do by hand. CMake is the judge of what is there.
by_hand()
{
  echo "Packages: $1; please see that these are there (names of Debian 12" \
    "and 13): $2"
  exit 0
}

case "$system" in
  "debian 12" | "debian 13") ;;
  *) by_hand "this is not Debian 12 or 13" "${packages[*]}" ;;
esac

missing=()
installed=" $(dpkg-query --show \
  --showformat='${db:Status-Status}:${Package} ' \
  "${packages[@]}" 2>/dev/null)"
for package in "${packages[@]}"; do
  case "$installed" in
    *" installed:$package "*) ;;
    *) missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  # Where somebody sits at a terminal, sudo may ask for a password.
  if ! command -v sudo >/dev/null; then
    by_hand "neither root nor sudo to install with" "${missing[*]}"
  elif sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; then
    as_root=(sudo -n)
  else
    by_hand "sudo does not let $(id -un) install" "${missing[*]}"
  fi
fi

log=$(mktemp "${TMPDIR:-/tmp}/neuraldeal-packages-XXXXXX") || exit 1
echo "Installing ${#missing[@]} packages and what they need: ${missing[*]}"

# Images for containers often leave everything under /usr/share/doc away.
tutorials=/usr/share/doc/libdeal.ii-doc/examples

# One of apt's commands, its output in the log.
apt()
{
  echo "+ apt-get $*" >>"$log"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get \
    -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
    -o "DPkg::Options::=--path-include=$tutorials/*" --yes "$@" \
    >>"$log" 2>&1 </dev/null
}

# A mirror may fail in the middle of its own update, or the network for a
# moment: up to three attempts. What has been downloaded is kept between them.
for pause in 5 20 0; do
  # A source of somebody else's that fails is no reason not to try.
  apt update
  if apt install --no-install-recommends "${missing[@]}"; then
    rm -f "$log"
    exit 0
  fi
  sleep $pause
done

tail -n 5 "$log" >&2
echo "Packages: apt-get could not install them; its output is in $log" >&2
exit 1
