// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_small_store_h
#define neuraldeal_tests_surrogates_small_store_h

#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>

#include <string>
#include <vector>

#include "square_grid.h"
#include "test_tools.h"

namespace neuraldeal::tests
{
  /**
   * What a snapshot store holds, with everything in reach so that a test can
   * break it. SnapshotReader describes the layout.
   */
  struct SmallSpace
  {
    explicit SmallSpace(const long n = 4)
      : grid(n)
      , points(grid.points())
    {
      const auto mass    = grid.dense_mass();
      const auto entries = torch::nonzero(mass);
      for (long i = 0; i < entries.size(0); ++i)
        {
          rows.push_back(entries[i][0].item<std::int64_t>());
          columns.push_back(entries[i][1].item<std::int64_t>());
          values.push_back(mass[rows.back()][columns.back()].item<double>());
        }
    }

    /** The reflection x → @p width − x, which swaps parameters 0 and 1. */
    void
    add_reflection(const double width = 1.)
    {
      matrices.insert(matrices.end(), {-1., 0., 0., 1.});
      offsets.insert(offsets.end(), {width, 0.});
      parameters.insert(parameters.end(), {1, 0, 2});
    }

    void
    write(const std::string &filename) const
    {
      HDF5File      file(filename, H5P_DEFAULT, H5P_DEFAULT);
      const hsize_t n_symmetries = parameters.size() / 3;
      file.write_attribute("format", "neural.deal space 1");
      file.write_attribute("problem", problem);
      file.write_strings("parameter_names", {"left", "right", "µ"}, "names");
      const auto    all      = points.contiguous();
      const hsize_t n_values = all.size(1);
      file.write(
        "points", {2, n_values}, all.data_ptr<double>(), 0, n_values, "points");
      file.write("mass_rows", rows, "rows");
      file.write("mass_columns", columns, "columns");
      file.write("mass_values", values, "values");
      file.write("symmetry_matrices",
                 {n_symmetries, matrices.size() / n_symmetries},
                 matrices.data(),
                 0,
                 matrices.size() / n_symmetries,
                 "matrices");
      file.write(
        "symmetry_offsets", {n_symmetries, 2}, offsets.data(), 0, 2, "offsets");
      file.write("symmetry_parameters",
                 {n_symmetries, 3},
                 parameters.data(),
                 0,
                 3,
                 "permutations");
      file.close();
    }

    SquareGrid                grid;
    torch::Tensor             points;
    std::vector<std::int64_t> rows, columns;
    std::vector<double>       values;
    std::vector<double>       matrices   = {1., 0., 0., 1.};
    std::vector<double>       offsets    = {0., 0.};
    std::vector<std::int64_t> parameters = {0, 1, 2};
    std::string               problem    = "0123456789abcdef";
  };



  /** One batch of a store: by default a few whole snapshots. */
  struct SmallBatch
  {
    /** Samples @p ids of random fields with @p n_values values. */
    explicit SmallBatch(const std::vector<std::int64_t> &ids,
                        const long                       n_values = 16)
      : ids(ids)
      , status(ids.size(), 0)
      , iterations(ids.size(), 5)
      , seconds(ids.size(), 0.5)
      , reasons(ids.size(), "")
      , parameters(torch::empty({long(ids.size()), 3}, torch::kFloat64))
      , prior(torch::empty({long(ids.size()), n_values}, torch::kFloat64))
      , solution(torch::empty({long(ids.size()), n_values}, torch::kFloat64))
    {
      for (std::size_t i = 0; i < ids.size(); ++i)
        {
          const std::uint64_t number = 1000 + 3 * ids[i];
          parameters[i]              = random_normal({3}, number);
          prior[i]                   = random_normal({n_values}, number + 1);
          solution[i]                = random_normal({n_values}, number + 2);
        }
    }

    void
    write(const std::string &filename) const
    {
      HDF5File      file(filename, H5P_DEFAULT, H5P_DEFAULT);
      const hsize_t n            = parameters.size(0);
      const auto    write_matrix = [&](const std::string   &name,
                                    const torch::Tensor &matrix,
                                    const std::string   &description) {
        file.write(name,
                   {n, hsize_t(matrix.size(1))},
                   matrix.data_ptr<double>(),
                   0,
                   matrix.size(1),
                   description);
      };
      file.write_attribute("format", "neural.deal snapshots 1");
      file.write_attribute("problem", problem);
      if (!campaign.empty())
        {
          file.write_attribute("campaign", campaign.at(0));
          file.write_attribute("design", campaign.at(1));
          file.write_attribute("seed", campaign.at(2));
        }
      file.write("sample", ids, "global number of each sample");
      file.write("status", status, "0, 1 or 2");
      file.write_strings("reason", reasons, "why it has failed");
      file.write("seconds", seconds, "wall time in seconds");
      file.write("iterations", iterations, "iterations of the solver");
      write_matrix("parameters", parameters, "the inputs");
      write_matrix("prior", prior, "coarse solutions");
      write_matrix("solution", solution, "solutions in K");
      file.write_annotation("parameters", "units", units);
      file.close();
    }

    std::vector<std::int64_t> ids, status, iterations;
    std::vector<double>       seconds;
    std::vector<std::string>  reasons;
    torch::Tensor             parameters, prior, solution;
    std::string               problem = "0123456789abcdef";

    /** Of later versions: name, design and seed, and units; may be empty. */
    std::vector<std::string> campaign, units;
  };
} // namespace neuraldeal::tests

#endif
