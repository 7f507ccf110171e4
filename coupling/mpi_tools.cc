// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/mpi.h>
#include <deal.II/base/multithread_info.h>

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/coupling/task_server.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <sstream>
#include <thread>

namespace neuraldeal
{
  namespace
  {
    /** Calls @p reduce on the pieces of a tensor: counts of MPI are int. */
    void
    in_pieces(
      const torch::Tensor                                              &tensor,
      const std::function<void(void *, const int, const MPI_Datatype)> &reduce)
    {
      constexpr std::int64_t piece = 1 << 27;
      AssertThrow(tensor.is_contiguous() && tensor.device().is_cpu(),
                  dealii::ExcInternalError());
      const auto data      = static_cast<char *>(tensor.data_ptr());
      const bool is_double = tensor.scalar_type() == torch::kFloat64;
      AssertThrow(is_double || tensor.scalar_type() == torch::kFloat32,
                  dealii::ExcNotImplemented());
      for (std::int64_t begin = 0; begin < tensor.numel(); begin += piece)
        reduce(data + begin * tensor.element_size(),
               std::min(piece, tensor.numel() - begin),
               is_double ? MPI_DOUBLE : MPI_FLOAT);
    }



    /** MPI_Iallreduce of the pieces of a tensor. */
    class PendingReduction : public Communicator::PendingSum
    {
    public:
      PendingReduction(const torch::Tensor &tensor, const MPI_Comm communicator)
        : tensor(tensor)
      {
        in_pieces(tensor,
                  [&](void *data, const int n, const MPI_Datatype type) {
                    requests.emplace_back();
                    MPI_Iallreduce(MPI_IN_PLACE,
                                   data,
                                   n,
                                   type,
                                   MPI_SUM,
                                   communicator,
                                   &requests.back());
                  });
      }

      // MPI writes to the tensor until the end.
      ~PendingReduction() override
      {
        PendingReduction::wait();
      }

      bool
      test() override
      {
        int done = 0;
        MPI_Testall(requests.size(),
                    requests.data(),
                    &done,
                    MPI_STATUSES_IGNORE);
        return done != 0;
      }

      void
      wait() override
      {
        MPI_Waitall(requests.size(), requests.data(), MPI_STATUSES_IGNORE);
      }

    private:
      const torch::Tensor      tensor; ///< keeps the memory
      std::vector<MPI_Request> requests;
    };
  } // namespace



  Communicator
  mpi_communicator(const MPI_Comm communicator)
  {
    Communicator result;
    MPI_Comm_rank(communicator, &result.rank);
    MPI_Comm_size(communicator, &result.size);
    if (result.size == 1)
      return result;
    result.sum = [communicator](torch::Tensor &tensor) {
      in_pieces(tensor, [&](void *data, const int n, const MPI_Datatype type) {
        MPI_Allreduce(MPI_IN_PLACE, data, n, type, MPI_SUM, communicator);
      });
    };
    // LibTorch runs the backward pass on a GPU, and what it calls, in a thread
    // of its own.
    int threads = MPI_THREAD_SINGLE;
    MPI_Query_thread(&threads);
    if (threads >= MPI_THREAD_SERIALIZED)
      result.start_sum = [communicator](const torch::Tensor &tensor) {
        return std::make_unique<PendingReduction>(tensor, communicator);
      };
    return result;
  }



  ProcessGroups::ProcessGroups(const MPI_Comm     world,
                               const unsigned int group_size,
                               const std::string &source,
                               const HandOut      hand_out)
    : world(world)
    , way(hand_out)
  {
    const unsigned int size = dealii::Utilities::MPI::n_mpi_processes(world);
    if (group_size == 0 || size % group_size != 0)
      throw InputError(source,
                       "Group size",
                       std::to_string(group_size),
                       "a divisor of the number of ranks, which is " +
                         std::to_string(size));
    const int rank = dealii::Utilities::MPI::this_mpi_process(world);

    MPI_Comm host = MPI_COMM_NULL;
    MPI_Comm_split_type(
      world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host);
    const unsigned int size_here =
      dealii::Utilities::MPI::n_mpi_processes(host);
    MPI_Comm_free(&host);
    const bool one_host = dealii::Utilities::MPI::min(size_here, world) == size;

    // One group takes the tasks in their order, and has nobody to ask.
    if (way == HandOut::automatic)
      way = (group_size == size) ? HandOut::fixed :
            one_host             ? HandOut::shared_memory :
                                   HandOut::messages;
    bool possible = (way != HandOut::shared_memory || one_host);
    if (way == HandOut::messages)
      {
        server   = std::make_unique<TaskServer>(world, rank % group_size == 0);
        possible = server->is_reachable();
        if (!possible)
          server.reset();
      }
    if (!possible && hand_out != HandOut::automatic)
      throw InputError(source,
                       "the way to hand out tasks",
                       way == HandOut::messages ? "messages" : "shared memory",
                       "another one: not all ranks can reach the first");
    if (!possible)
      way = HandOut::fixed;
    MPI_Comm_split(world, rank / group_size, rank, &group_communicator);
  }



  ProcessGroups::~ProcessGroups()
  {
    MPI_Comm_free(&group_communicator);
  }



  unsigned int
  ProcessGroups::n_groups() const
  {
    return dealii::Utilities::MPI::n_mpi_processes(world) /
           dealii::Utilities::MPI::n_mpi_processes(group_communicator);
  }



  bool
  ProcessGroups::is_group_root() const
  {
    return dealii::Utilities::MPI::this_mpi_process(group_communicator) == 0;
  }



  bool
  ProcessGroups::is_root() const
  {
    return dealii::Utilities::MPI::this_mpi_process(world) == 0;
  }



  namespace
  {
    /**
     * A 64-bit word that all ranks of one host add to. Atomic operations on
     * memory, as MPI_Fetch_and_op is there as well, without its locks; those
     * of C++ are between processes too where they need no lock
     * ([atomics.lockfree]).
     */
    class SharedWord
    {
    public:
      using Word = std::atomic<std::uint64_t>;
      static_assert(Word::is_always_lock_free);

      explicit SharedWord(const MPI_Comm world)
      {
        const bool root = dealii::Utilities::MPI::this_mpi_process(world) == 0;
        void      *own  = nullptr;
        MPI_Win_allocate_shared(
          root ? sizeof(Word) : 0, 1, MPI_INFO_NULL, world, &own, &window);
        MPI_Win_lock_all(MPI_MODE_NOCHECK, window);
        MPI_Aint size  = 0;
        int      unit  = 0;
        void    *place = nullptr;
        MPI_Win_shared_query(window, 0, &size, &unit, &place);
        word = root ? new (place) Word(0) : static_cast<Word *>(place);
        MPI_Win_sync(window);
        MPI_Barrier(world);
        MPI_Win_sync(window);
      }

      /** Collective. */
      ~SharedWord()
      {
        MPI_Win_unlock_all(window);
        MPI_Win_free(&window);
      }

      SharedWord(const SharedWord &) = delete;

      std::uint64_t
      fetch_and_add(const std::uint64_t amount)
      {
        return word->fetch_add(amount);
      }

    private:
      MPI_Win window;
      Word   *word;
    };



    /** The tasks in the order in which they are handed out; on all ranks. */
    std::vector<unsigned int>
    longest_first(const std::vector<double> &costs, const MPI_Comm world)
    {
      std::vector<unsigned int> order(costs.size());
      std::iota(order.begin(), order.end(), 0);
      const auto cost = [&](const unsigned int task) {
        return std::isnan(costs[task]) ?
                 std::numeric_limits<double>::infinity() :
                 costs[task];
      };
      if (dealii::Utilities::MPI::this_mpi_process(world) == 0)
        std::stable_sort(order.begin(),
                         order.end(),
                         [&](const unsigned int a, const unsigned int b) {
                           return cost(a) > cost(b);
                         });
      MPI_Bcast(order.data(), order.size(), MPI_UNSIGNED, 0, world);
      return order;
    }
  } // namespace



  void
  ProcessGroups::distribute(
    const unsigned int                             n_tasks,
    const std::function<void(const unsigned int)> &work,
    const std::function<void(const unsigned int)> &report,
    const std::vector<double>                     &costs) const
  {
    Assert(costs.empty() || costs.size() == n_tasks,
           dealii::ExcDimensionMismatch(costs.size(), n_tasks));
    const auto order =
      costs.empty() ? std::vector<unsigned int>() : longest_first(costs, world);

    // One word says all, so that a task costs one request: how many tasks
    // have been handed out, and, in the high bits, how many groups failed.
    constexpr std::uint64_t     one_failure = std::uint64_t(1) << 40;
    std::unique_ptr<SharedWord> word;
    if (way == HandOut::shared_memory)
      word = std::make_unique<SharedWord>(world);
    ++round;

    const unsigned int group_size =
      dealii::Utilities::MPI::n_mpi_processes(group_communicator);
    const unsigned int step = n_groups();
    std::uint64_t      my_turn =
      dealii::Utilities::MPI::this_mpi_process(world) / group_size;

    const auto fetch_and_add = [&](const std::uint64_t amount) {
      return word ? word->fetch_and_add(amount) :
                    server->fetch_and_add(round, amount);
    };
    const auto next = [&]() -> unsigned int {
      std::uint64_t place = my_turn;
      if (way == HandOut::fixed)
        my_turn += step;
      else
        {
          place = n_tasks;
          if (is_group_root())
            place = std::min<std::uint64_t>(n_tasks, fetch_and_add(1));
          // Nothing new is begun once a group has failed: then the word is
          // larger than any number of tasks.
          if (group_size > 1)
            MPI_Bcast(&place, 1, MPI_UINT64_T, 0, group_communicator);
        }
      return std::min<std::uint64_t>(n_tasks, place);
    };

    std::string failure;
    while (true)
      {
        const unsigned int place = next();
        if (place >= n_tasks)
          break;
        if (report && is_root())
          report(place);
        failure =
          try_on_group([&]() { work(order.empty() ? place : order[place]); });
        if (!failure.empty())
          {
            if (way != HandOut::fixed && is_group_root())
              fetch_and_add(one_failure);
            break;
          }
      }

    // All ranks meet here.
    const auto message = first_message(failure, world);
    word.reset();
    if (!message.empty())
      throw std::runtime_error(message);
    if (report && is_root())
      report(n_tasks);
  }



  namespace
  {
    /** What an exception has to say, in one sentence. */
    std::string
    one_sentence(const std::exception &exception)
    {
      std::string text;
      if (const auto dealii_exception =
            dynamic_cast<const dealii::ExceptionBase *>(&exception))
        {
          // Without the source line and the stack, which only developers
          // want.
          std::ostringstream stream;
          dealii_exception->print_info(stream);
          text = stream.str();
          if (text.find_first_not_of(" \n\t") == std::string::npos)
            text = exception.what();
        }
      else
        text = exception.what();
      std::istringstream words(text);
      std::string        result, word;
      while (words >> word)
        result += (result.empty() ? "" : " ") + word;
      return result;
    }
  } // namespace



  std::string
  ProcessGroups::try_on_group(const std::function<void()> &work) const
  {
    return try_together(work, group_communicator);
  }



  void
  ProcessGroups::on_root(const std::function<void()> &work) const
  {
    const Attempt attempt([&]() {
      if (is_root())
        work();
    });
    attempt.throw_together(mpi_communicator(world));
  }



  void
  check_group_size(const ProcessGroups &groups,
                   const std::string   &surrogate,
                   const bool           supports_slices,
                   const std::string   &source)
  {
    const unsigned int size =
      dealii::Utilities::MPI::n_mpi_processes(groups.group());
    if (size > 1 && !supports_slices)
      throw InputError(source,
                       "Group size",
                       std::to_string(size),
                       "1 for the surrogate '" + surrogate +
                         "', which needs whole fields");
  }



  std::string
  first_message(const std::string &message, const MPI_Comm communicator)
  {
    int rank = 0, size = 0;
    MPI_Comm_rank(communicator, &rank);
    MPI_Comm_size(communicator, &size);
    if (size == 1)
      return message;
    const int mine  = message.empty() ? size : rank;
    int       first = size;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, communicator);
    if (first == size)
      return "";
    int length = message.size();
    MPI_Bcast(&length, 1, MPI_INT, first, communicator);
    std::string result = message;
    result.resize(length);
    MPI_Bcast(result.data(), length, MPI_CHAR, first, communicator);
    return result;
  }



  std::string
  try_together(const std::function<void()> &work, const MPI_Comm communicator)
  {
    return first_message(Attempt(work, one_sentence).words(), communicator);
  }



  int
  run_program(const std::function<void()> &program)
  {
    try
      {
        program();
        return EXIT_SUCCESS;
      }
    catch (const std::exception &exception)
      {
        const auto sentence    = one_sentence(exception);
        int        initialized = 0, rank = 0, size = 1;
        MPI_Initialized(&initialized);
        if (initialized)
          {
            MPI_Comm_rank(MPI_COMM_WORLD, &rank);
            MPI_Comm_size(MPI_COMM_WORLD, &size);
          }
        // Most mistakes are met by all ranks: the first one tells them, and
        // ends the others before they say the same.
        if (rank > 0)
          std::this_thread::sleep_for(std::chrono::seconds(2));
        // In one piece, so that nothing else comes between.
        std::cout.flush();
        std::cerr << "\nError: " + sentence + "\n" << std::flush;
        if (size > 1)
          MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
        return EXIT_FAILURE;
      }
  }



  std::string
  set_threads(const unsigned int n_threads, const MPI_Comm world)
  {
    const auto find = [](const char *name) {
      return dlsym(RTLD_DEFAULT, name);
    };
    using SetThreads    = void (*)(int);
    using Configuration = char *(*)();
    const auto blas =
      reinterpret_cast<SetThreads>(find("openblas_set_num_threads"));
    const auto blas_name =
      reinterpret_cast<Configuration>(find("openblas_get_config"));
    if (n_threads > 0)
      {
        at::set_num_threads(n_threads);
        dealii::MultithreadInfo::set_thread_limit(n_threads);
        if (blas)
          blas(n_threads);
      }
    const unsigned int ranks   = dealii::Utilities::MPI::n_mpi_processes(world);
    const unsigned int cores   = std::thread::hardware_concurrency();
    const unsigned int threads = at::get_num_threads();
    std::string        result  = fmt::format(
      "{} rank{} with {} thread{} each on {} core{}; BLAS: {}",
      ranks,
      ranks == 1 ? "" : "s",
      threads,
      threads == 1 ? "" : "s",
      cores,
      cores == 1 ? "" : "s",
      blas_name ? blas_name() :
                          "not OpenBLAS, probably slow (install libopenblas0-pthread)");
    if (ranks * threads > cores)
      result += "\nWarning: more ranks and threads than cores; times mean "
                "little.";
    return result;
  }
} // namespace neuraldeal
