// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "petsc_runs.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace PETScRuns
{
  namespace
  {
    /**
     * Run @p command in a group of processes of its own, which is ended when
     * it has printed @p stop_at.
     */
    Outcome
    run_once(const std::string &command, const std::string &stop_at)
    {
      int pipe_ends[2];
      if (pipe(pipe_ends) != 0)
        throw std::runtime_error("cannot make a pipe");
      const pid_t child = fork();
      if (child < 0)
        throw std::runtime_error("cannot run " + command);
      if (child == 0)
        {
          setpgid(0, 0);
          dup2(pipe_ends[1], STDOUT_FILENO);
          dup2(pipe_ends[1], STDERR_FILENO);
          close(pipe_ends[0]);
          close(pipe_ends[1]);
          execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
          _exit(127);
        }
      close(pipe_ends[1]);

      Outcome result{0, ""};
      bool    stopped = false;
      char    buffer[4096];
      for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;)
        {
          result.output.append(buffer, static_cast<std::size_t>(n));
          const auto found = stop_at.empty() || stopped ?
                               std::string::npos :
                               result.output.find(stop_at);
          if (found != std::string::npos)
            {
              stopped = true;
              result.output.resize(found);
              kill(-child, SIGTERM);
            }
          else if (stopped)
            result.output.resize(result.output.size() -
                                 static_cast<std::size_t>(n));
        }
      close(pipe_ends[0]);
      int status = 0;
      waitpid(child, &status, 0);
      result.status = stopped           ? 0 :
                      WIFEXITED(status) ? WEXITSTATUS(status) :
                                          -1;
      return result;
    }

    /**
     * The mpiexec of Open MPI 4 sometimes waits for itself forever after all
     * its processes have ended; a run that takes too long is therefore tried
     * once more.
     */
    Outcome
    run_twice(const std::string &program,
              const std::string &petsc_options,
              const std::string &stop_at)
    {
      const std::string command = "PETSC_OPTIONS='" + petsc_options +
                                  "' exec timeout --foreground -k 5 180 " +
                                  program;
      Outcome result = run_once(command, stop_at);
      if (result.status == 124 || result.status == 137)
        {
          std::cout << "Once more, as it took too long: " << command
                    << std::endl;
          result = run_once(command, stop_at);
        }
      return result;
    }
  } // namespace



  unsigned int
  n_ranks()
  {
    const char *ranks = std::getenv("NEURALDEAL_RANKS");
    return ranks ? std::stoi(ranks) : 1;
  }



  Outcome
  run(const std::string &program,
      const std::string &petsc_options,
      const std::string &stop_at)
  {
    return run_twice(MPIEXEC " " + std::to_string(n_ranks()) + " " + program,
                     petsc_options,
                     stop_at);
  }



  const std::string load_library = "-dll_append " NEURALDEAL_PETSC_LIBRARY;
  const std::string use_guess    = load_library + " -ksp_guess_type surrogate";
  const std::vector<std::string> all_uses = {use_guess,
                                             load_library +
                                               " -pc_type surrogate",
                                             use_guess + " -pc_type surrogate",
                                             load_library +
                                               " -ksp_type surrogate"};



  std::vector<Solve>
  solves(const std::string &sequence, const std::string &petsc_options)
  {
    const Outcome result = run(PETSC_PROGRAM " " + sequence, petsc_options);
    EXPECT_EQ(result.status, 0) << result.output;
    const std::regex line(
      "solve [^:]*: ([0-9]+) iterations, residual ([^,]*), solution (.*)");
    std::vector<Solve> found;
    for (std::sregex_iterator i(result.output.begin(),
                                result.output.end(),
                                line);
         i != std::sregex_iterator();
         ++i)
      {
        std::istringstream numbers((*i)[3].str());
        found.push_back({static_cast<unsigned int>(std::stoul((*i)[1].str())),
                         std::stod((*i)[2].str()),
                         {std::istream_iterator<double>(numbers),
                          std::istream_iterator<double>()}});
      }
    return found;
  }



  void
  expect_same_solutions(const std::vector<Solve> &a,
                        const std::vector<Solve> &b)
  {
    ASSERT_EQ(a.size(), b.size());
    ASSERT_FALSE(a.empty());
    for (std::size_t i = 0; i < a.size(); ++i)
      {
        ASSERT_EQ(a[i].solution.size(), 3u);
        ASSERT_EQ(b[i].solution.size(), 3u);
        for (unsigned int k = 0; k < 3; ++k)
          EXPECT_NEAR(a[i].solution[k],
                      b[i].solution[k],
                      1e-6 * a[i].solution[0]);
      }
  }



  void
  expect_failure(const std::string &sequence,
                 const std::string &petsc_options,
                 const std::string &message)
  {
    SCOPED_TRACE(petsc_options);
    // Without mpiexec one process ends in less time.
    const std::string program = PETSC_PROGRAM " " + sequence;
    const Outcome     result  = n_ranks() == 1 ?
                                  run_twice(program, petsc_options, "") :
                                  run(program, petsc_options);
    EXPECT_NE(result.status, 0);
    // Versions of PETSc break their lines at other places.
    const auto output =
      std::regex_replace(result.output, std::regex("\\s+"), " ");
    EXPECT_NE(output.find(message), std::string::npos) << result.output;
  }



  unsigned int
  iterations(const std::vector<Solve> &all, const unsigned int n)
  {
    unsigned int sum = 0;
    for (std::size_t i = all.size() - n; i < all.size(); ++i)
      sum += all[i].n_iterations;
    return sum;
  }



  void
  report(const std::string        &name,
         const std::vector<Solve> &without,
         const std::vector<Solve> &with,
         const unsigned int        n)
  {
    std::cout << name << ", " << n_ranks() << " ranks, iterations a solve: "
              << double(iterations(without, n)) / n << " without the library, "
              << double(iterations(with, n)) / n << " with it" << std::endl;
  }



  std::string
  new_folder(const std::string &name)
  {
    const std::filesystem::path folder =
      std::filesystem::absolute(name + ".np" + std::to_string(n_ranks()));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directory(folder);
    return folder.string();
  }
} // namespace PETScRuns
