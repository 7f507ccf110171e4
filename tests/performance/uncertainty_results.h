// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_performance_uncertainty_results_h
#define neuraldeal_tests_performance_uncertainty_results_h

#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

namespace neuraldeal::performance
{
  /** Which training a result is of. */
  struct UncertaintyRun
  {
    std::string   problem, method;
    long          samples;
    std::uint64_t seed;

    bool
    operator<(const UncertaintyRun &other) const
    {
      return std::tie(problem, samples, method, seed) <
             std::tie(other.problem, other.samples, other.method, other.seed);
    }
  };



  /**
   * What a method said of every sample of a set, and how it was: [n] float64
   * each. Lengths of fields are root mean squares over all values, in units of
   * the solutions' standard deviation in the training (a channel each), and so
   * are the scores.
   */
  struct UncertaintyOfSet
  {
    torch::Tensor error; ///< of the mean
    torch::Tensor norm;  ///< of the solution
    torch::Tensor scale; ///< predicted size of the error, √(mean variance)
    torch::Tensor crps;  ///< mean over the values, as predicted
    torch::Tensor likelihood; ///< its negative logarithm, likewise
    torch::Tensor chi_square; ///< likewise

    /** With deviations multiplied by the factors of UncertaintyResult. */
    torch::Tensor calibrated_crps, calibrated_likelihood;
  };



  /** Everything that the table needs of a training. */
  struct UncertaintyResult
  {
    UncertaintyRun run;
    double         training_seconds, prediction_seconds;
    std::string    device;

    /**
     * What deviations are multiplied with for the least CRPS and the largest
     * likelihood of the samples to calibrate with.
     */
    double crps_factor, likelihood_factor;

    /** Of quantiles of the calibrated distributions, held-out samples. */
    double calibration_error;

    std::map<std::string, UncertaintyOfSet> sets;

    nlohmann::json
    to_json() const;

    static UncertaintyResult
    from_json(const nlohmann::json &given);
  };



  /** The results in all files of a folder, a file for every method. */
  class UncertaintyResults
  {
  public:
    /** Read what is there. @throw FileError where a line is damaged. */
    explicit UncertaintyResults(const std::string &folder);

    bool
    contains(const UncertaintyRun &run) const
    {
      return results.count(run) > 0;
    }

    /** Add a line to the file of its method, in one write. */
    void
    add(const UncertaintyResult &result);

    const std::map<UncertaintyRun, UncertaintyResult> &
    all() const
    {
      return results;
    }

  private:
    const std::string                           folder;
    std::map<UncertaintyRun, UncertaintyResult> results;
  };



  /** How many held-out samples calibrate; the others judge. */
  constexpr long n_calibrating = 100;

  /** The confidence of all bounds. */
  constexpr double uncertainty_confidence = 0.95;

  /**
   * The figures of one result by name; see the README for what they mean.
   * @param outside for every set: which of its inputs are called outside of the
   * training range, [n] bool.
   */
  std::map<std::string, double>
  uncertainty_figures(const UncertaintyResult                    &result,
                      const std::map<std::string, torch::Tensor> &outside);
} // namespace neuraldeal::performance

#endif
