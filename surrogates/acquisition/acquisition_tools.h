// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_tools_h
#define neuraldeal_surrogates_acquisition_tools_h

#include <neuraldeal/surrogates/acquisition/acquisition.h>

#include <vector>

/** What methods of acquisition share. */
namespace neuraldeal::acquisition_tools
{
  /** The parameters "cost power" and "features". */
  ParameterDescription
  cost_power();

  ParameterDescription
  feature_choice();

  /** @throw InputError unless the choice is one. */
  void
  check_features(const nlohmann::json &parameters, const std::string &source);

  /**
   * @p values, where they are known.
   * @throw InputError saying that @p type needs @p name of the candidates.
   */
  const torch::Tensor &
  needed(const torch::Tensor &values,
         const std::string   &name,
         const std::string   &type);

  /** log(feasibility/cost^p) of each candidate, [n]. */
  torch::Tensor
  log_weight(const Candidates     &candidates,
             const nlohmann::json &parameters,
             const std::string    &type);

  /**
   * The choices of a round among candidates and levels, in the order in which
   * they are made: what they cost, and whether there may be another one.
   */
  class LevelChoices
  {
  public:
    /** @param candidates with levels; referred to. */
    explicit LevelChoices(const Candidates &candidates);

    /** On how many levels, from the cheapest, @p row is solved by now. */
    long
    n_solved(const long row) const
    {
      return solved[row];
    }

    /**
     * The level of @p row that has the largest share of the predicted variance
     * for its cost, the finest among equal ones.
     */
    long
    best_level(const long row) const;

    /**
     * Solve @p row up to @p level.
     * @return whether the limits allow that; if not, nothing has changed.
     */
    bool
    take(const long row, const long level);

    /** Whether no further choice is wanted. */
    bool
    enough() const
    {
      return cost >= candidates.limits.enough;
    }

  private:
    const Candidates &candidates;
    std::vector<long> solved;
    double            cost     = 0.;
    long              n_finest = 0;
  };

  /** Features as distances and kernels take them. */
  struct Places
  {
    torch::Tensor candidates; ///< [n, F]
    torch::Tensor chosen;     ///< [m, F]
    torch::Tensor reference;  ///< [R, F], where there are some
  };

  Places
  places(const Candidates     &candidates,
         const nlohmann::json &parameters,
         const std::string    &type);

  /**
   * Squared distances to the nearest center, and which it is, as centers come
   * one by one. The first of equally near ones counts.
   */
  class NearestCenter
  {
  public:
    /** @param points [n, F] */
    explicit NearestCenter(const torch::Tensor &points);

    /** @param center [F] */
    void
    add(const torch::Tensor &center);

    std::vector<double> squares; ///< ∞ without a center
    std::vector<long>   nearest; ///< −1 without a center
    long                n_centers = 0;

  private:
    torch::Tensor points;
  };

  /**
   * The first of the largest values among those that are not @p taken; there
   * has to be one.
   */
  long
  largest(const torch::Tensor &values, const std::vector<char> &taken);
} // namespace neuraldeal::acquisition_tools

namespace neuraldeal
{
  /** What register_acquisitions() does for the methods by scores. */
  void
  register_scored_acquisitions();

  /** The same for those by distances. */
  void
  register_distance_acquisitions();

  /** The same for what lowers the errors of all inputs. */
  void
  register_integrated_acquisitions();
} // namespace neuraldeal

#endif
