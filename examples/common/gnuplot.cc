// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "gnuplot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

extern char **environ;

namespace neuraldeal::examples
{
  namespace
  {
    /** No picture of a report takes longer than this, by far. */
    constexpr std::chrono::seconds time_limit{60};



    std::string
    read_file(const std::string &filename)
    {
      std::ifstream      in(filename, std::ios::binary);
      std::ostringstream content;
      content << in.rdbuf();
      return content.str();
    }



    /** The first line of @p text that says something, without its place. */
    std::string
    first_complaint(const std::string &text)
    {
      std::istringstream lines(text);
      std::string        line;
      while (std::getline(lines, line))
        {
          const std::size_t mark = line.find("line ");
          if (mark != std::string::npos)
            line.erase(0, mark);
          if (line.find_first_not_of(" \t^") != std::string::npos)
            return line;
        }
      return "";
    }



    /** The two ends of what a child process reads and writes. */
    class FileActions
    {
    public:
      explicit FileActions(const std::string &output)
      {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(
          &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions,
                                         STDOUT_FILENO,
                                         output.c_str(),
                                         O_WRONLY | O_CREAT | O_TRUNC,
                                         0600);
        posix_spawn_file_actions_adddup2(&actions,
                                         STDOUT_FILENO,
                                         STDERR_FILENO);
      }

      ~FileActions()
      {
        posix_spawn_file_actions_destroy(&actions);
      }

      FileActions(const FileActions &) = delete;
      FileActions &
      operator=(const FileActions &) = delete;

      posix_spawn_file_actions_t actions;
    };



    /** The exit status of the child @p process; kills it after a while. */
    int
    wait_for(const pid_t process)
    {
      const auto begin  = std::chrono::steady_clock::now();
      int        status = 0;
      while (true)
        {
          const pid_t ended = ::waitpid(process, &status, WNOHANG);
          if (ended == process)
            return status;
          if (ended < 0 && errno != EINTR)
            throw GnuplotError("gnuplot was lost sight of");
          if (std::chrono::steady_clock::now() - begin > time_limit)
            {
              ::kill(process, SIGKILL);
              ::waitpid(process, &status, 0);
              throw GnuplotError("gnuplot did not come to an end");
            }
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    }
  } // namespace



  Gnuplot::Gnuplot(const std::string &program)
    : program(program)
  {
    std::error_code   error;
    const std::string base =
      std::filesystem::temp_directory_path(error).string();
    std::string name = base + "/neuraldeal-XXXXXX";
    if (error || ::mkdtemp(name.data()) == nullptr)
      unusable = "there is no folder for temporary files";
    else
      folder = name;
  }



  Gnuplot::~Gnuplot()
  {
    if (!folder.empty())
      {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
      }
  }



  std::string
  Gnuplot::draw(const std::string &terminal, const std::string &commands)
  {
    if (!unusable.empty())
      throw GnuplotError(unusable);

    const std::string stem     = fmt::format("{}/{}", folder, n_files++);
    const std::string script   = stem + ".gp";
    const std::string messages = stem + ".txt";
    const std::string result   = stem + ".out";
    std::ofstream(script) << "set encoding utf8\nset terminal " << terminal
                          << "\nset output " << quote(result) << '\n'
                          << commands << "\nset output\n";

    // Without the user's own settings, which may change any picture.
    const FileActions files(messages);
    char             *arguments[] = {const_cast<char *>(program.c_str()),
                                     const_cast<char *>("--default-settings"),
                                     const_cast<char *>(script.c_str()),
                                     nullptr};
    pid_t             process     = 0;
    const int         error       = ::posix_spawnp(
      &process, program.c_str(), &files.actions, nullptr, arguments, environ);
    if (error != 0)
      {
        unusable = fmt::format("the program '{}' could not be started ({})",
                               program,
                               std::strerror(error));
        throw GnuplotError(unusable);
      }

    const int   status  = wait_for(process);
    std::string picture = read_file(result);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || picture.empty())
      {
        // Where the C library cannot tell before it forks, a missing program
        // shows as this exit status.
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
          {
            unusable =
              fmt::format("the program '{}' could not be started", program);
            throw GnuplotError(unusable);
          }
        const std::string complaint = first_complaint(read_file(messages));
        throw GnuplotError("gnuplot failed" + (complaint.empty() ?
                                                 std::string() :
                                                 " (" + complaint + ")"));
      }
    return picture;
  }



  std::string
  Gnuplot::write_binary(const std::vector<float> &values)
  {
    if (!unusable.empty())
      throw GnuplotError(unusable);
    const std::string filename = fmt::format("{}/{}.bin", folder, n_files++);
    std::ofstream     out(filename, std::ios::binary);
    out.write(reinterpret_cast<const char *>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (!out.flush())
      throw GnuplotError("a temporary file could not be written");
    return quote(filename);
  }



  std::string
  Gnuplot::quote(const std::string &text)
  {
    // All but letters is written in octal: single quotes do not allow a quote
    // at the beginning, double ones substitute, and a digit after an octal
    // number would belong to it.
    std::string quoted = "\"";
    for (const char c : text)
      {
        const auto code = static_cast<unsigned char>(c);
        if (code >= 128 || std::isalpha(code))
          quoted += c;
        else
          quoted += fmt::format("\\{:03o}", code < ' ' ? ' ' : code);
      }
    return quoted + "\"";
  }
} // namespace neuraldeal::examples
