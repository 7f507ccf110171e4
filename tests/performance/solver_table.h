// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_solver_table_h
#define neuraldeal_tests_performance_solver_table_h

#include <fmt/format.h>
#include <torch/types.h>

#include <iostream>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /**
   * Print what the solves of a benchmark's samples cost, and how far coarse
   * solutions are from the fine ones, in the samples to test with.
   * @param data DarcyData or ElasticityData.
   * @param points those of a sample, in words.
   * @param meshes their names: of the fine one, then of the coarse ones.
   */
  template <typename Data>
  void
  print_solver_table(const Data                     &data,
                     const std::string              &points,
                     const std::vector<std::string> &meshes)
  {
    std::cout << fmt::format(
      "\n{} training and {} test samples, {}\n\n"
      "  cells                seconds a solve   relative L2 error "
      "(mean, 95 % quantile, largest of the test)\n",
      data.n_train,
      data.n_test,
      points);
    for (std::size_t i = 0; i < meshes.size(); ++i)
      {
        std::cout << fmt::format("{:20}   {:13.5f}",
                                 meshes[i],
                                 data.seconds.at(i));
        if (i > 0)
          {
            const torch::Tensor errors =
              data.coarse_errors(i - 1).narrow(0, data.n_train, data.n_test);
            std::cout << fmt::format("   {:.3f} %   {:.3f} %   {:.3f} %",
                                     100. * errors.mean().item<double>(),
                                     100. *
                                       errors.quantile(0.95).item<double>(),
                                     100. * errors.max().item<double>());
          }
        std::cout << std::endl;
      }
  }
} // namespace neuraldeal::performance

#endif
