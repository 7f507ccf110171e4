// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_accuracy_problems_h
#define neuraldeal_tests_performance_accuracy_problems_h

#include <neuraldeal/surrogates/operators/operator_model.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace neuraldeal::performance
{
  /** What the coarse solutions of a problem have for an error themselves. */
  struct CoarseSolution
  {
    std::string row, figure;
    double      error; ///< mean relative L² error of the test samples
  };



  /**
   * A problem that operators are held against in `operators_accuracy`: where
   * its samples are, what operators read and predict, what is known of its
   * symmetries. Rows of the JSON file choose between priors and the like;
   * each problem says below what they may hold for it.
   */
  class AccuracyProblem
  {
  public:
    virtual ~AccuracyProblem() = default;

    /**
     * The problem of @p row, by its entry `problem`: "Darcy" (where there is
     * none) or "elasticity".
     * @param folder where the data are.
     * @throw InputError for other names; @p source names the file of the row.
     * @throw FileError where the data are not there.
     */
    static std::shared_ptr<const AccuracyProblem>
    read(const nlohmann::json &row,
         const std::string    &folder,
         const std::string    &source);

    /** The name of the file with the data of @p row. */
    static std::string
    data_file(const nlohmann::json &row);

    /** The samples' points in words, as "85² points". */
    virtual std::string
    points() const = 0;

    /** The channels that the samples of @p row have. */
    virtual OperatorShape
    shape(const nlohmann::json &row) const = 0;

    virtual std::vector<CoarseSolution>
    coarse_solutions() const = 0;

    /** How many samples there are to train with. */
    virtual long
    n_train() const = 0;

    /** The first @p n samples to train with, as @p row wants them. */
    virtual OperatorData
    training(const nlohmann::json &row, const long n) const = 0;

    virtual OperatorData
    test(const nlohmann::json &row) const = 0;

    /**
     * Permutations of the points that map samples to samples, as the Trainer
     * takes them; not defined where there are none.
     */
    virtual torch::Tensor
    symmetries() const = 0;
  };
} // namespace neuraldeal::performance

#endif
