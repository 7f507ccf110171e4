// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef tests_performance_slow_writes_h
#define tests_performance_slow_writes_h

#include <atomic>

/**
 * What slow_writes.cc, which is preloaded into the processes of a job, has in
 * a file that is mapped into all of them and into who is to kill them. It
 * outlives them. The file is named by NEURALDEAL_SLOW_STATE, the folder whose
 * files are slow by NEURALDEAL_SLOW_FOLDER.
 */
struct SlowWrites
{
  std::atomic<int> begun;        ///< writes, syncs and renames so far
  std::atomic<int> inside;       ///< those that have not ended
  std::atomic<int> microseconds; ///< that each of them takes longer
};

static_assert(std::atomic<int>::is_always_lock_free);

#endif
