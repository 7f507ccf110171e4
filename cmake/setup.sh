# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# What the scripts that set the project up share. Read by bash with `source`;
# sets `root`, the folder of the project, and the functions below. A function
# that fails has said why in one sentence.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The parallel jobs of a build: one a core, and not more than fit into memory,
# of which a file that includes deal.II takes about one and a half gigabytes.
# CMAKE_BUILD_PARALLEL_LEVEL, CMake's own variable, has the last word.
build_jobs()
{
  local cores memory
  # (nproc would take the threads of OpenMP for the cores.)
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc 2>/dev/null || echo 1)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1572864) }' \
    /proc/meminfo 2>/dev/null)
  [ "${memory:-$cores}" -ge "$cores" ] || cores=$memory
  [ "$cores" -ge 1 ] || cores=1
  echo "${CMAKE_BUILD_PARALLEL_LEVEL:-$cores}"
}

# fail SENTENCE: says what went wrong and ends the script.
fail()
{
  echo "$(basename "$0"): $1" >&2
  exit 1
}

# timed NAME COMMAND...: runs a command and prints the seconds it took.
timed()
{
  local name=$1 start=${EPOCHREALTIME/,/.} status
  shift
  "$@"
  status=$?
  [ $status -ne 0 ] || LC_ALL=C awk -v name="$name" \
    -v start="$start" -v end="${EPOCHREALTIME/,/.}" \
    'BEGIN { printf "[%s: %.1f s]\n", name, end - start }'
  return $status
}

# install_dependencies [--tests]: the packages that are missing.
install_dependencies()
{
  "$root/cmake/install-dependencies.sh" "$@" ||
    fail "the packages could not be installed (see above)."
}

# configure PRESET: into build/PRESET. Skipped where the last time still
# stands: same place, same presets, no package changed since. Ninja itself
# comes back to CMake when a CMake file has changed.
configure()
{
  local build="$root/build/$1" log="$root/build/$1.log" file current=yes
  grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" \
    "$build/CMakeCache.txt" 2>/dev/null || current=no
  for file in "$root/CMakePresets.json" /var/lib/dpkg/status; do
    [ "$build/build.ninja" -nt "$file" ] || [ ! -e "$file" ] || current=no
  done
  [ $current = no ] || return 0

  command -v cmake >/dev/null ||
    fail "CMake is missing; install it and the packages named above."
  # A cache made in another place is of no use here.
  grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" \
    "$build/CMakeCache.txt" 2>/dev/null ||
    rm -rf "$build/CMakeCache.txt" "$build/CMakeFiles"
  mkdir -p "$root/build" && : >"$log" ||
    fail "cannot write into $root/build."
  echo "Configuring build/$1"
  # `touch`: CMake leaves build.ninja alone where nothing has changed in it.
  if ! (cd "$root" && cmake --preset "$1") >"$log" 2>&1 </dev/null ||
    ! touch "$build/build.ninja"; then
    grep -A 12 '^CMake Error' "$log" >&2 || tail -n 20 "$log" >&2
    fail "CMake could not configure the project: its error is above, all it said in $log."
  fi
}

# build PRESET [TARGET...]: all, or these.
build()
{
  local build="$root/build/$1" jobs
  jobs=$(build_jobs)
  [ -w "${HOME:-/nowhere}" ] || export CCACHE_DIR="$root/build/ccache"
  echo "Building ${*:2}${2:+ }in build/$1 with $jobs jobs"
  cmake --build "$build" --parallel "$jobs" ${2:+--target "${@:2}"} \
    </dev/null || fail "the build in build/$1 failed (see above)."
}

# Threads and Open MPI: one thread a rank, as many ranks as asked for on
# however few cores, and root (as in a container) is welcome. The names are
# those of Open MPI 4 and 5; another MPI does not read them.
mpi_environment()
{
  export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=passive
  # Ranks of programs that run beside each other are not to be tied to the
  # same core.
  export OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_hwloc_base_binding_policy=none
  export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  export PRTE_MCA_hwloc_default_binding_policy=none
  if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  # One machine: no network between the ranks, however it is set up.
  export OMPI_MCA_btl=${OMPI_MCA_btl:-^tcp}
  # In a container the kernel forbids one process to read another's memory.
  if [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
    export OMPI_MCA_smsc=^cma
  fi
}
