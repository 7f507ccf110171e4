// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// Preloaded into a job, this makes its writes into one folder slow, and tells
// who is to kill the job that it is inside of one: half of the bytes are
// written, a file is not yet synced, not yet or just now renamed. See
// slow_writes.h.

#include "slow_writes.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace
{
  /** The next definition of a function behind this one. */
  template <typename Function>
  Function *
  original(Function *, const char *name)
  {
    return reinterpret_cast<Function *>(dlsym(RTLD_NEXT, name));
  }

  SlowWrites *
  state()
  {
    static SlowWrites *const mapped = []() -> SlowWrites * {
      const char *const name = std::getenv("NEURALDEAL_SLOW_STATE");
      const int file = name == nullptr ? -1 : ::open(name, O_RDWR | O_CLOEXEC);
      if (file < 0)
        return nullptr;
      void *const memory = mmap(nullptr,
                                sizeof(SlowWrites),
                                PROT_READ | PROT_WRITE,
                                MAP_SHARED,
                                file,
                                0);
      ::close(file);
      return memory == MAP_FAILED ? nullptr : static_cast<SlowWrites *>(memory);
    }();
    return mapped;
  }

  bool
  is_slow(const char *path)
  {
    const char *const folder = std::getenv("NEURALDEAL_SLOW_FOLDER");
    return folder != nullptr && state() != nullptr &&
           std::strncmp(path, folder, std::strlen(folder)) == 0;
  }

  bool
  is_slow(const int file)
  {
    char link[64], path[PATH_MAX];
    std::snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    const ssize_t n = ::readlink(link, path, sizeof(path) - 1);
    if (n < 0)
      return false;
    path[n] = '\0';
    return is_slow(path);
  }

  /** While it lives, this process is inside of a write. */
  class Inside
  {
  public:
    Inside()
    {
      ++state()->inside;
      ++state()->begun;
    }

    ~Inside()
    {
      --state()->inside;
    }

    void
    wait() const
    {
      const int error = errno;
      ::usleep(state()->microseconds);
      errno = error;
    }
  };

  /** @p write (offset, size) in two halves. */
  template <typename Write>
  ssize_t
  in_halves(const std::size_t size, const Write &write)
  {
    const Inside      inside;
    const std::size_t half  = size / 2;
    const ssize_t     first = half == 0 ? 0 : write(0, half);
    inside.wait();
    if (first < 0 || std::size_t(first) < half)
      return first;
    const ssize_t second = write(half, size - half);
    return second < 0 ? (first > 0 ? first : second) : first + second;
  }
} // namespace



extern "C"
{
  ssize_t
  write(const int file, const void *data, const std::size_t size)
  {
    static const auto next = original(&write, "write");
    if (!is_slow(file))
      return next(file, data, size);
    return in_halves(size, [&](const std::size_t begin, const std::size_t n) {
      return next(file, static_cast<const char *>(data) + begin, n);
    });
  }

  ssize_t
  pwrite(const int         file,
         const void       *data,
         const std::size_t size,
         const off_t       offset)
  {
    static const auto next = original(&pwrite, "pwrite");
    if (!is_slow(file))
      return next(file, data, size, offset);
    return in_halves(size, [&](const std::size_t begin, const std::size_t n) {
      return next(file,
                  static_cast<const char *>(data) + begin,
                  n,
                  offset + begin);
    });
  }

  ssize_t
  pwrite64(const int         file,
           const void       *data,
           const std::size_t size,
           const off64_t     offset)
  {
    return pwrite(file, data, size, offset);
  }

  ssize_t
  writev(const int file, const iovec *parts, const int n)
  {
    static const auto next = original(&writev, "writev");
    if (!is_slow(file))
      return next(file, parts, n);
    const Inside inside;
    inside.wait();
    return next(file, parts, n);
  }

  ssize_t
  pwritev(const int file, const iovec *parts, const int n, const off_t offset)
  {
    static const auto next = original(&pwritev, "pwritev");
    if (!is_slow(file))
      return next(file, parts, n, offset);
    const Inside inside;
    inside.wait();
    return next(file, parts, n, offset);
  }

  ssize_t
  pwritev64(const int     file,
            const iovec  *parts,
            const int     n,
            const off64_t offset)
  {
    return pwritev(file, parts, n, offset);
  }

  int
  fsync(const int file)
  {
    static const auto next = original(&fsync, "fsync");
    if (!is_slow(file))
      return next(file);
    const Inside inside;
    inside.wait();
    return next(file);
  }

  int
  rename(const char *from, const char *to) noexcept
  {
    static const auto next = original(&rename, "rename");
    if (!is_slow(to))
      return next(from, to);
    const Inside inside;
    inside.wait();
    const int result = next(from, to);
    inside.wait();
    return result;
  }
}
