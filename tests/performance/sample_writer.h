// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_sample_writer_h
#define neuraldeal_tests_performance_sample_writer_h

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/surrogates/model_file.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace neuraldeal::performance
{
  /**
   * Makes the data of a benchmark: many samples, each solved by one rank, in
   * one file. Blocks of samples are written as they come, into a folder beside
   * the file, and are not solved again when the program is started once more.
   * With a `solve` that depends on the number of the sample alone, the file is
   * the same on any number of ranks.
   */
  class SampleWriter
  {
  public:
    using Tensors = std::map<std::string, torch::Tensor>;

    /** What the samples are, in words, for the progress. */
    std::string title;

    /** The name of the set that they belong to, for error messages. */
    std::string set;

    std::int64_t n_samples = 0;

    /** Samples that are solved between two writes to the disk. */
    std::int64_t block_size = 100;

    /** What blocks that fit together agree in. */
    nlohmann::json description;

    /** Zeros for n samples: tensors [n, …] with all names of `solve`. */
    std::function<Tensors(const std::int64_t n)> zeros;

    /** Solve one sample, on this process alone; tensors without the index n. */
    std::function<Tensors(const std::int64_t index)> solve;

    /** Make the file from all samples: `tensors` has them, [n_samples, …]. */
    std::function<void(ModelFile &file)> finish;

    /**
     * Solve all and write @p base + ".safetensors"; collective. The folder is
     * made where it is missing; blocks stand in @p base + ".blocks".
     * @return the file's name. Where it is there already, nothing is done.
     * @throw FileError where the blocks belong to another set.
     */
    std::string
    write(const std::string &base, const ProcessGroups &ranks) const;

  private:
    /** The samples [@p begin, @p end) from all ranks, in a file of theirs. */
    void
    write_block(const std::string   &filename,
                const std::int64_t   begin,
                const std::int64_t   end,
                const ProcessGroups &ranks) const;

    /** `description` with the numbers of a block's samples. */
    nlohmann::json
    block_description(const std::int64_t begin, const std::int64_t end) const;
  };

  /**
   * Processor time of this thread in seconds. A solve is done by one thread;
   * the machine may have more to do than this.
   */
  double
  thread_seconds();
} // namespace neuraldeal::performance

#endif
