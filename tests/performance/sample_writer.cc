// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "sample_writer.h"

#include <deal.II/base/mpi.h>

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/progress.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <vector>

namespace neuraldeal::performance
{
  double
  thread_seconds()
  {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
  }



  nlohmann::json
  SampleWriter::block_description(const std::int64_t begin,
                                  const std::int64_t end) const
  {
    auto result     = description;
    result["begin"] = begin;
    result["end"]   = end;
    return result;
  }



  void
  SampleWriter::write_block(const std::string   &filename,
                            const std::int64_t   begin,
                            const std::int64_t   end,
                            const ProcessGroups &ranks) const
  {
    // Each rank fills in its samples; the sum of all has them all.
    ModelFile file;
    file.tensors = zeros(end - begin);
    ranks.distribute(end - begin, [&](const unsigned int i) {
      for (const auto &[name, values] : solve(begin + i))
        file.tensors.at(name)[i].copy_(values);
    });
    const auto communicator = mpi_communicator(ranks.world);
    if (communicator.sum)
      for (auto &tensor : file.tensors)
        communicator.sum(tensor.second);

    ranks.on_root([&]() {
      file.metadata = block_description(begin, end);
      file.write(filename);
    });
  }



  std::string
  SampleWriter::write(const std::string &base, const ProcessGroups &ranks) const
  {
    AssertThrow(ranks.n_groups() ==
                  dealii::Utilities::MPI::n_mpi_processes(ranks.world),
                dealii::ExcMessage("A sample is solved by one rank."));
    const std::string filename   = base + ".safetensors";
    const std::string blocks     = base + ".blocks";
    const auto        block_name = [&](const std::int64_t begin) {
      return blocks + "/" + std::to_string(begin) + ".safetensors";
    };
    const auto block_end = [&](const std::int64_t begin) {
      return std::min(n_samples, begin + block_size);
    };
    const auto is_there = [&](const std::string &name) {
      int result = ranks.is_root() && std::filesystem::exists(name);
      MPI_Bcast(&result, 1, MPI_INT, 0, ranks.world);
      return result == 1;
    };
    if (is_there(filename))
      return filename;
    ranks.on_root([&]() { std::filesystem::create_directories(blocks); });

    {
      Progress progress(title, n_samples, ranks.is_root());
      for (std::int64_t begin = 0; begin < n_samples; begin += block_size)
        {
          if (!is_there(block_name(begin)))
            write_block(block_name(begin), begin, block_end(begin), ranks);
          progress.update(block_end(begin));
        }
    }

    ranks.on_root([&]() {
      std::map<std::string, std::vector<torch::Tensor>> parts;
      for (std::int64_t begin = 0; begin < n_samples; begin += block_size)
        {
          const auto block = ModelFile::read(block_name(begin));
          if (block.metadata != block_description(begin, block_end(begin)))
            throw FileError(block.filename,
                            "it holds other samples than those of the set '" +
                              set + "' (remove its folder)");
          for (const auto &[name, tensor] : block.tensors)
            parts[name].push_back(tensor);
        }
      ModelFile file;
      for (const auto &[name, part] : parts)
        file.tensors[name] = torch::cat(part);
      finish(file);
      file.write(filename);
      std::filesystem::remove_all(blocks);
    });
    return filename;
  }
} // namespace neuraldeal::performance
