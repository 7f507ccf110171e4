// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <neuraldeal/coupling/task_server.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <type_traits>

namespace neuraldeal
{
  namespace
  {
    using Clock = std::chrono::steady_clock;

    enum class Kind : std::uint32_t
    {
      hello, ///< is there a server? value: the number of the address tried
      ping,  ///< the host is there
      fetch, ///< value: the amount; in the answer, the counter before
      leave, ///< the sender ends as it should
      end    ///< of the server: it ends as it should
    };

    struct Message
    {
      std::uint64_t token;
      std::uint64_t value;
      Kind          kind;
      std::uint32_t rank;
      std::uint32_t round;
      std::uint32_t sequence;
      char          host[64];
    };

    /** Where the server is. Of fixed size, to be sent by MPI_Bcast. */
    struct Place
    {
      std::uint64_t                 token       = 0;
      std::uint32_t                 n_addresses = 0; ///< 0: there is none
      std::uint16_t                 port        = 0; ///< in network order
      std::array<std::uint32_t, 16> addresses;       ///< in network order
      char                          host[64];
    };

    void
    get_host_name(char (&name)[64])
    {
      std::memset(name, 0, sizeof(name));
      gethostname(name, sizeof(name) - 1);
    }

    /** A socket of this process's own; −1 where there is none to be had. */
    int
    open_socket()
    {
      const int   result = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      sockaddr_in any{};
      any.sin_family      = AF_INET;
      any.sin_addr.s_addr = htonl(INADDR_ANY);
      if (result >= 0 &&
          bind(result, reinterpret_cast<sockaddr *>(&any), sizeof(any)) != 0)
        {
          close(result);
          return -1;
        }
      return result;
    }

    /** The addresses of this host, those of loopback last. */
    void
    find_addresses(Place &place)
    {
      ifaddrs *list = nullptr;
      if (getifaddrs(&list) != 0)
        return;
      for (const bool loopback : {false, true})
        for (auto entry = list; entry != nullptr; entry = entry->ifa_next)
          if (entry->ifa_addr != nullptr &&
              entry->ifa_addr->sa_family == AF_INET &&
              (entry->ifa_flags & IFF_UP) != 0 &&
              ((entry->ifa_flags & IFF_LOOPBACK) != 0) == loopback &&
              place.n_addresses < place.addresses.size())
            place.addresses[place.n_addresses++] =
              reinterpret_cast<const sockaddr_in *>(entry->ifa_addr)
                ->sin_addr.s_addr;
      freeifaddrs(list);
    }

    /** Whether there is something to read within @p milliseconds. */
    bool
    wait(const int socket, const int milliseconds, const int second = -1)
    {
      std::array<pollfd, 2> files = {
        {{socket, POLLIN, 0}, {second, POLLIN, 0}}};
      return poll(files.data(), second < 0 ? 1 : 2, milliseconds) > 0;
    }

    void
    send(const int socket, const Message &message, const sockaddr_in &to)
    {
      // What does not get through is sent again by whoever waits for it.
      [[maybe_unused]] const auto n =
        sendto(socket,
               &message,
               sizeof(message),
               0,
               reinterpret_cast<const sockaddr *>(&to),
               sizeof(to));
    }

    /** The next message, without waiting; false where there is none. */
    bool
    receive(const int           socket,
            const std::uint64_t token,
            Message            &message,
            sockaddr_in        *from = nullptr)
    {
      sockaddr_in sender{};
      socklen_t   size = sizeof(sender);
      while (true)
        {
          const auto n = recvfrom(socket,
                                  &message,
                                  sizeof(message),
                                  MSG_DONTWAIT | MSG_TRUNC,
                                  reinterpret_cast<sockaddr *>(&sender),
                                  &size);
          // On Linux a datagram that nobody wanted is an error of the next
          // call.
          if (n < 0 && errno == ECONNREFUSED)
            continue;
          if (n < 0)
            return false;
          // What others send is none of our business.
          if (n == sizeof(message) && message.token == token)
            break;
        }
      message.host[sizeof(message.host) - 1] = '\0';
      if (from != nullptr)
        *from = sender;
      return true;
    }

    /** Whether a process is what has started ranks for Open MPI. */
    bool
    is_launcher(const pid_t process)
    {
      char name[32], found[32] = "";
      std::snprintf(name, sizeof(name), "/proc/%d/comm", int(process));
      const int file = open(name, O_RDONLY | O_CLOEXEC);
      if (file < 0)
        return false;
      [[maybe_unused]] const auto n = read(file, found, sizeof(found) - 1);
      close(file);
      for (const char *known : {"mpirun", "mpiexec", "orterun"})
        if (std::strncmp(found, known, std::strlen(known)) == 0)
          return true;
      return false;
    }

    /**
     * Open MPI's mpirun would wait for its daemon on the lost host, up to a
     * quarter of an hour, unless it is told twice to end (the first time is
     * that this process ends as it does). It then ends this process, so that
     * another one tells it.
     */
    void
    end_launcher()
    {
      const pid_t launcher = getppid();
      if (!is_launcher(launcher) || fork() != 0)
        return;
      // Nothing here but what a fork of several threads may call.
      setsid();
      for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        close(file);
      for (unsigned int i = 0; i < 5; ++i)
        {
          sleep(2);
          if (!is_launcher(launcher) || kill(launcher, SIGTERM) != 0)
            break;
        }
      _exit(EXIT_SUCCESS);
    }

    /**
     * MPI may wait for ever now, in the main thread as well, and MPI_Abort is
     * for that one to call: the process ends, files are whole or absent.
     */
    [[noreturn]] void
    lost(const char *host, const unsigned int rank)
    {
      char own[64];
      get_host_name(own);
      const auto text =
        std::string("\nError: ") + host + ", the host of rank " +
        std::to_string(rank) + ", has not been heard of on " + own + " for " +
        std::to_string(TaskServer::patience()) +
        " seconds; the program ends, and goes on from the snapshots that are "
        "stored when it is started again.\n";
      [[maybe_unused]] const auto n =
        write(STDERR_FILENO, text.data(), text.size());
      end_launcher();
      std::_Exit(EXIT_FAILURE);
    }

    /** Once a second, however long the process was stopped in between. */
    class Seconds
    {
    public:
      int
      milliseconds_left() const
      {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                            next - Clock::now())
                            .count();
        return left > 0 ? int(left) + 1 : 0;
      }

      bool
      one_more()
      {
        if (Clock::now() < next)
          return false;
        next = Clock::now() + std::chrono::seconds(1);
        return true;
      }

    private:
      Clock::time_point next = Clock::now();
    };
  } // namespace



  class TaskServer::Implementation
  {
  public:
    Implementation(const MPI_Comm world, const bool asks)
    {
      MPI_Comm_rank(world, &rank);
      get_host_name(own_host);
      if (rank == 0)
        open_server();
      static_assert(std::is_trivially_copyable_v<Place>);
      MPI_Bcast(&place, sizeof(place), MPI_BYTE, 0, world);

      MPI_Comm host = MPI_COMM_NULL;
      MPI_Comm_split_type(
        world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &host);
      int rank_on_host = 0;
      MPI_Comm_rank(host, &rank_on_host);
      MPI_Comm_free(&host);
      const bool watches = (rank > 0 && rank_on_host == 0);

      int found = place.n_addresses > 0 ? 1 : 0;
      if (found != 0 && rank > 0 && (asks || watches))
        found = find_server() ? 1 : 0;
      int all = 0;
      MPI_Allreduce(&found, &all, 1, MPI_INT, MPI_MIN, world);
      reachable = (all != 0);
      if (reachable && watches)
        {
          watch_socket = open_socket();
          if (watch_socket >= 0)
            start([this]() { watch(); });
        }
    }

    ~Implementation()
    {
      if (thread.joinable())
        {
          const char                  stop = 0;
          [[maybe_unused]] const auto n    = write(pipe_ends[1], &stop, 1);
          thread.join();
        }
      for (const int file : {socket, watch_socket, pipe_ends[0], pipe_ends[1]})
        if (file >= 0)
          close(file);
    }

    std::uint64_t
    fetch_and_add(const std::uint32_t round, const std::uint64_t amount)
    {
      if (rank == 0)
        return count(round, amount);
      auto question       = message(Kind::fetch);
      question.value      = amount;
      question.round      = round;
      question.sequence   = ++sequence;
      int          pause  = 50;
      unsigned int silent = 0; // milliseconds
      while (true)
        {
          send(socket, question, server);
          const auto end = Clock::now() + std::chrono::milliseconds(pause);
          do
            {
              const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(
                  end - Clock::now())
                  .count();
              wait(socket, left > 0 ? left + 1 : 0);
              Message answer;
              while (receive(socket, place.token, answer))
                if (answer.kind == Kind::fetch &&
                    answer.sequence == question.sequence)
                  return answer.value;
            }
          while (Clock::now() < end);
          silent += pause;
          pause = std::min(2 * pause, 1000);
          if (silent > 1000 * patience())
            lost(place.host, 0);
        }
    }

    bool reachable = false;

  private:
    /** What the server knows of a rank. */
    struct Client
    {
      std::uint32_t sequence = 0; ///< of the last request
      std::uint64_t answer   = 0;
      bool          watched  = false;
      unsigned int  silent   = 0; ///< seconds
      sockaddr_in   address  = {};
      std::string   host;
    };

    Message
    message(const Kind kind) const
    {
      Message result{};
      result.token = place.token;
      result.kind  = kind;
      result.rank  = rank;
      std::memcpy(result.host, own_host, sizeof(own_host));
      return result;
    }

    std::uint64_t
    count(const std::uint32_t round, const std::uint64_t amount)
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (round != current_round)
        {
          current_round = round;
          counter       = 0;
        }
      const auto before = counter;
      counter += amount;
      return before;
    }

    /** Signals are for the threads of the host program. */
    void
    start(const std::function<void()> &work)
    {
      if (pipe(pipe_ends) != 0)
        {
          pipe_ends[0] = pipe_ends[1] = -1;
          return;
        }
      sigset_t all, before;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      thread = std::thread(work);
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void
    open_server()
    {
      std::memcpy(place.host, own_host, sizeof(own_host));
      std::random_device random;
      place.token = (std::uint64_t(random()) << 32) ^ random();
      socket      = open_socket();
      sockaddr_in own{};
      socklen_t   size = sizeof(own);
      if (socket < 0 ||
          getsockname(socket, reinterpret_cast<sockaddr *>(&own), &size) != 0)
        return;
      // Room for one request of each of some thousand ranks, where the system
      // allows it.
      const int buffer = 1 << 22;
      setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
      place.port = own.sin_port;
      start([this]() { serve(); });
      if (thread.joinable())
        find_addresses(place);
    }

    /** Try all addresses; the one that answers first is taken. */
    bool
    find_server()
    {
      socket = open_socket();
      if (socket < 0)
        return false;
      const auto address = [&](const unsigned int i) {
        sockaddr_in result{};
        result.sin_family      = AF_INET;
        result.sin_port        = place.port;
        result.sin_addr.s_addr = place.addresses[i];
        return result;
      };
      const auto end = Clock::now() + std::chrono::seconds(3);
      while (Clock::now() < end)
        {
          for (unsigned int i = 0; i < place.n_addresses; ++i)
            {
              auto question  = message(Kind::hello);
              question.value = i;
              send(socket, question, address(i));
            }
          wait(socket, 100);
          Message answer;
          while (receive(socket, place.token, answer))
            if (answer.kind == Kind::hello && answer.value < place.n_addresses)
              {
                server = address(answer.value);
                return true;
              }
        }
      return false;
    }

    /** The thread of rank 0. */
    void
    serve()
    {
      std::map<std::uint32_t, Client> clients;
      Seconds                         seconds;
      // At the end those who watch are told, until they have left or have
      // been lost.
      unsigned int n_ends = 0;
      while (true)
        {
          wait(socket,
               n_ends > 0 ? 20 : seconds.milliseconds_left(),
               n_ends > 0 ? -1 : pipe_ends[0]);
          Message     message;
          sockaddr_in from{};
          while (receive(socket, place.token, message, &from))
            {
              auto &client  = clients[message.rank];
              client.silent = 0;
              switch (message.kind)
                {
                  case Kind::fetch:
                    if (message.sequence < client.sequence)
                      continue;
                    // The answer to the last request may have been lost.
                    if (message.sequence > client.sequence)
                      client.answer = count(message.round, message.value);
                    client.sequence = message.sequence;
                    message.value   = client.answer;
                    break;
                  case Kind::ping:
                    client.watched = true;
                    client.address = from;
                    client.host    = message.host;
                    break;
                  case Kind::leave:
                    client.watched = false;
                    break;
                  case Kind::hello:
                    break;
                  default:
                    continue;
                }
              send(socket, message, from);
            }
          if (n_ends == 0 && wait(pipe_ends[0], 0))
            n_ends = 1;
          if (n_ends > 0)
            {
              bool all_left = true;
              for (const auto &client : clients)
                if (client.second.watched)
                  {
                    all_left = false;
                    send(socket,
                         this->message(Kind::end),
                         client.second.address);
                  }
              if (all_left || ++n_ends > 50)
                return;
            }
          else if (seconds.one_more())
            for (auto &client : clients)
              if (client.second.watched && ++client.second.silent > patience())
                lost(client.second.host.c_str(), client.first);
        }
    }

    /** The thread of the first rank on each other host. */
    void
    watch()
    {
      Seconds      seconds;
      unsigned int silent  = 0; // seconds
      unsigned int n_leave = 0;
      while (true)
        {
          wait(watch_socket,
               n_leave > 0 ? 20 : seconds.milliseconds_left(),
               n_leave > 0 ? -1 : pipe_ends[0]);
          Message answer;
          while (receive(watch_socket, place.token, answer))
            {
              silent = 0;
              if (answer.kind == Kind::end)
                {
                  send(watch_socket, message(Kind::leave), server);
                  return;
                }
              if (answer.kind == Kind::leave)
                return;
            }
          if (n_leave == 0 && wait(pipe_ends[0], 0))
            n_leave = 1;
          if (n_leave > 0)
            {
              send(watch_socket, message(Kind::leave), server);
              if (++n_leave > 50)
                return;
            }
          else if (seconds.one_more())
            {
              if (++silent > patience())
                lost(place.host, 0);
              send(watch_socket, message(Kind::ping), server);
            }
        }
    }

    int           rank = 0;
    char          own_host[64];
    Place         place;
    sockaddr_in   server       = {};
    int           socket       = -1;
    int           watch_socket = -1; ///< that of the thread alone
    int           pipe_ends[2] = {-1, -1};
    std::thread   thread;
    std::uint32_t sequence = 0;

    std::mutex    mutex; ///< of rank 0's counter
    std::uint32_t current_round = 0;
    std::uint64_t counter       = 0;
  };



  TaskServer::TaskServer(const MPI_Comm world, const bool asks)
    : implementation(std::make_unique<Implementation>(world, asks))
  {}



  TaskServer::~TaskServer() = default;



  bool
  TaskServer::is_reachable() const
  {
    return implementation->reachable;
  }



  std::uint64_t
  TaskServer::fetch_and_add(const std::uint32_t round,
                            const std::uint64_t amount)
  {
    return implementation->fetch_and_add(round, amount);
  }
} // namespace neuraldeal
