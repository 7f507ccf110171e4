// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "job.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace fs = std::filesystem;

namespace job
{
  std::string
  make_folder(const std::string &name)
  {
    const fs::path folder = fs::path(TEST_FOLDER) / name;
    fs::remove_all(folder);
    fs::create_directories(folder);
    return folder.string();
  }



  std::string
  write_parameters(const std::string &folder, const Changes &changes)
  {
    std::map<std::string, std::string> entries = {
      {"Problem/Cells", "8"},
      {"Problem/Dimension", "3"},
      {"Problem/Conductivity", "blocks"},
      {"Problem/Linear algebra", "Trilinos"},
      {"Problem/Newton tolerance", "1e-8"},
      {"Coarse solve/Cells", "4"},
      {"Adaptive solver/Training solves", "16"},
      {"Adaptive solver/Held-out solves", "64"},
      {"Adaptive solver/Round size", "20"},
      {"Adaptive solver/Trust/Tolerance", std::to_string(tolerance)},
      {"Adaptive solver/Trust/Confidence", "0.95"},
      {"Adaptive solver/Trust/Audit fraction", "0.1"},
      {"Adaptive solver/Surrogate/Type", "POD network"},
      {"Adaptive solver/Surrogate/POD network/Members", "3"},
      {"Adaptive solver/Surrogate/POD network/Epochs", "60"},
      {"Run/Queries", "50"},
      {"Run/Checked answers", "5"},
      {"Run/Group size", "1"},
      {"Run/Compare meshes", "false"},
      {"Run/Output folder", folder}};
    for (const auto &[entry, value] : changes)
      entries[entry] = value;

    const std::string name = folder + "/job.prm";
    std::ofstream     file(name);
    for (const auto &[path, value] : entries)
      {
        std::vector<std::string> parts;
        std::istringstream       stream(path);
        for (std::string part; std::getline(stream, part, '/');)
          parts.push_back(part);
        for (std::size_t i = 0; i + 1 < parts.size(); ++i)
          file << "subsection " << parts[i] << "\n";
        file << "set " << parts.back() << " = " << value << "\n";
        for (std::size_t i = 0; i + 1 < parts.size(); ++i)
          file << "end\n";
      }
    return name;
  }



  namespace
  {
    /** Start a command in the background, its output in a file. */
    pid_t
    start(const Command &command, const std::string &output)
    {
      std::vector<char *> arguments;
      for (const auto &word : command)
        arguments.push_back(const_cast<char *>(word.c_str()));
      arguments.push_back(nullptr);
      const pid_t child = fork();
      if (child == 0)
        {
          setsid();
          if (!freopen(output.c_str(), "w", stdout) ||
              dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            _exit(126);
          execvp(arguments[0], arguments.data());
          _exit(127);
        }
      return child;
    }

    /** The job of a folder. */
    Command
    command_of(const std::string &folder, const unsigned int ranks)
    {
      return {MPIEXEC,
              "-np",
              std::to_string(ranks),
              "--oversubscribe",
              PROGRAM,
              folder + "/job.prm"};
    }

    /** All descendants of a process, and itself. */
    std::vector<pid_t>
    family(const pid_t ancestor)
    {
      std::multimap<pid_t, pid_t> children;
      for (const auto &entry : fs::directory_iterator("/proc"))
        {
          const std::string name = entry.path().filename();
          if (name.find_first_not_of("0123456789") != std::string::npos)
            continue;
          std::ifstream stat(entry.path() / "stat");
          std::string   text((std::istreambuf_iterator<char>(stat)),
                           std::istreambuf_iterator<char>());
          // pid (name) state parent …; the name may hold anything.
          const auto end = text.rfind(')');
          if (end == std::string::npos)
            continue;
          std::istringstream rest(text.substr(end + 2));
          char               state;
          pid_t              parent;
          if (rest >> state >> parent)
            children.emplace(parent, std::stoi(name));
        }
      std::vector<pid_t> result = {ancestor};
      for (std::size_t i = 0; i < result.size(); ++i)
        {
          const auto range = children.equal_range(result[i]);
          for (auto child = range.first; child != range.second; ++child)
            result.push_back(child->second);
        }
      return result;
    }
  } // namespace



  Result
  run(const std::string &folder, const unsigned int ranks)
  {
    return run_command(command_of(folder, ranks), folder + "/output.txt");
  }



  Result
  run_command(const Command &command, const std::string &output)
  {
    const pid_t child  = start(command, output);
    int         status = 0;
    waitpid(child, &status, 0);
    std::ifstream file(output);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            std::string((std::istreambuf_iterator<char>(file)),
                        std::istreambuf_iterator<char>())};
  }



  bool
  run_and_kill(const std::string           &folder,
               const unsigned int           ranks,
               const std::function<bool()> &now)
  {
    return run_and_kill_command(command_of(folder, ranks),
                                folder + "/output.txt",
                                ranks + 1,
                                now);
  }



  bool
  run_and_kill_command(const Command               &command,
                       const std::string           &output,
                       const unsigned int           n,
                       const std::function<bool()> &now)
  {
    const pid_t        child     = start(command, output);
    std::vector<pid_t> everybody = {child};
    auto               looked    = std::chrono::steady_clock::now();
    // Writes are short: who has to be stopped is known before the moment
    // comes.
    while (!now())
      {
        int status = 0;
        if (waitpid(child, &status, WNOHANG) == child)
          return false;
        if (everybody.size() < n && std::chrono::steady_clock::now() - looked >
                                      std::chrono::milliseconds(50))
          {
            everybody = family(child);
            looked    = std::chrono::steady_clock::now();
          }
      }
    // Stopped first, so that nobody notices the death of another and ends
    // by itself.
    for (auto process = everybody.rbegin(); process != everybody.rend();
         ++process)
      kill(*process, SIGSTOP);
    everybody = family(child);
    for (const pid_t process : everybody)
      kill(process, SIGSTOP);
    for (const pid_t process : everybody)
      kill(process, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    for (const pid_t process : everybody)
      while (kill(process, 0) == 0 && process != child)
        {
          // Orphans are reaped by init; a zombie does not write any more.
          std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
          std::string   text;
          std::getline(stat, text);
          if (text.find(") Z") != std::string::npos)
            break;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    return true;
  }



  namespace
  {
    /** The entries of a line of a CSV file, where quotes may hold commas. */
    std::vector<std::string>
    split(const std::string &line)
    {
      std::vector<std::string> entries(1);
      bool                     quoted = false;
      for (const char c : line)
        if (c == '"')
          quoted = !quoted;
        else if (c == ',' && !quoted)
          entries.emplace_back();
        else
          entries.back() += c;
      return entries;
    }
  } // namespace



  std::vector<std::vector<std::string>>
  decision_log(const std::string              &folder,
               const std::vector<std::string> &columns)
  {
    std::ifstream file(folder + "/decisions.csv");
    std::string   line;
    std::getline(file, line);
    const auto                            names = split(line);
    std::vector<std::vector<std::string>> result;
    while (std::getline(file, line))
      {
        const auto entries = split(line);
        result.emplace_back();
        for (const auto &column : columns)
          {
            const auto name = std::find(names.begin(), names.end(), column);
            if (name == names.end() || entries.size() != names.size())
              throw std::runtime_error("no " + column + " in " + line);
            result.back().push_back(entries[name - names.begin()]);
          }
      }
    return result;
  }
} // namespace job
