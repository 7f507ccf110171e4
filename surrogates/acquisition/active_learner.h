// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_active_learner_h
#define neuraldeal_surrogates_acquisition_active_learner_h

#include <neuraldeal/surrogates/acquisition/acquisition.h>
#include <neuraldeal/surrogates/multifidelity_model.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Inputs that have been asked for, whatever has become of them. Those that
   * have succeeded are in the order of the data of ActiveLearner::fit().
   */
  struct SolvedPoints
  {
    torch::Tensor inputs;    ///< [m, d] float64, failed ones among them
    torch::Tensor succeeded; ///< [m] bool; undefined: all of them
    torch::Tensor costs;     ///< [m], positive, NaN if unknown; or undefined

    /** Of interest, [m]; NaN where unknown, as of what failed; or undefined. */
    torch::Tensor quantity;

    /** Inputs of test points, [h, d], never to be chosen; or undefined. */
    torch::Tensor held_out;

    /** What every solve costs, where that is known beforehand. */
    double fixed_cost = std::numeric_limits<double>::quiet_NaN();

    /**
     * Where there are several levels of fidelity: what has been asked for on
     * the coarser ones, cheapest first. All inputs of a level are among those
     * of the level below. Test points are those of the finest level, above.
     */
    std::vector<SolvedPoints> coarser;
  };

  /**
   * [n] bool: the rows of @p inputs, [n, d], whose numbers are those of a row
   * of @p known, [m, d], or of an earlier row of @p inputs.
   */
  torch::Tensor
  repeated_rows(const torch::Tensor &inputs, const torch::Tensor &known);

  /**
   * A round of active learning without the solver: learn what has been solved,
   * say of candidates how wrong the prediction may be, choose those to solve
   * next. The host draws the candidates and solves what is chosen.
   *
   * Where the host solves on several levels of fidelity, the cheapest one is
   * learned, and for each other one its difference to the level below
   * (MultifidelityModel); a choice is then one of a candidate and of a level up
   * to which it is to be solved (register_acquisitions()). A round chooses what
   * costs as much as its number of solves on the finest level.
   *
   * A choice is a function of the arguments and of the choices before, which
   * state() holds.
   */
  class ActiveLearner
  {
  public:
    /**
     * The parameters there are: "surrogate" and "surrogate parameters" (see
     * SurrogateRegistry; "none" for methods that need no predictions),
     * "acquisition" and "acquisition parameters" (see
     * register_acquisitions()), "cost model" (none, kernel or linear, see
     * CostModel), "feasibility model" (see FeasibilityModel), "features"
     * (inputs or surrogate), "candidates" and "round size", numbers a round.
     */
    static std::vector<ParameterDescription>
    parameters();

    /**
     * @param ranges the inputs. The surrogate learns on them; features and
     * models of costs and success take the logarithm of a logarithmic one.
     * @param parameters overrides of the defaults.
     * @param source where they come from, for error messages.
     * @throw InputError for a wrong entry.
     */
    ActiveLearner(const std::vector<InputRange> &ranges,
                  const nlohmann::json          &parameters,
                  const std::uint64_t            seed,
                  const std::string             &source = "the program");

    /** Complete parameters. */
    const nlohmann::json &
    settings() const
    {
      return chosen_parameters;
    }

    /** Whether there is a surrogate, which has to be fitted before it scores.
     */
    bool
    has_surrogate() const
    {
      return chosen_parameters["surrogate"] != "none";
    }

    /**
     * Fit a new surrogate to what has been solved. Collective over
     * @p communicator, like Surrogate::fit().
     * @param data the solves that have succeeded, one at least.
     */
    void
    fit(const SnapshotSource &data,
        const FieldSpace     &space,
        const Communicator   &communicator = Communicator());

    /**
     * The same for solves on several levels, cheapest first; see
     * FidelityLevels.
     */
    void
    fit(const std::vector<const SnapshotSource *> &levels,
        const FieldSpace                          &space,
        const Communicator &communicator = Communicator());

    /**
     * Keep the values @p first_value, …, @p first_value + @p n_values − 1 of
     * the fields, where the others are with the other processes of @p group:
     * priors are such slices from now on. See Surrogate::load().
     */
    void
    distribute(const long          first_value,
               const long          n_values,
               const Communicator &group);

    /** What the fitted surrogate says of a block of candidates. */
    struct Scores
    {
      torch::Tensor scale;    ///< [n] relative; NaN for a prior that is not
                              ///< finite, so that there is no prediction
      torch::Tensor features; ///< [n, F], undefined unless from the surrogate
      torch::Tensor mean;     ///< [n, N] the predictions
      torch::Tensor residual; ///< [n] theirs; undefined, for the host to tell

      /** The parts of the scale that are of each level, [n, levels]; undefined
       * with a single one. */
      torch::Tensor level_scales;
    };

    /** @p block should be small: its priors and predictions are whole fields.
     */
    Scores
    score(const Inputs &block) const;

    /** The chosen rows, best first, and what the cost model expects of each. */
    struct Choice
    {
      std::vector<long>   rows;
      std::vector<double> costs; ///< NaN without a cost model

      /**
       * With several levels: the lowest one that each is still to be solved on,
       * and the expected costs of that and those above up to the chosen one.
       */
      std::vector<long>                first_level;
      std::vector<std::vector<double>> level_costs;
    };

    /**
     * Choose @p k candidates, or all that there are.
     * @param candidates their ids and whatever is known of them. A scale or a
     * residual that is not finite marks a candidate; so does an input that is
     * that of a solved point, a test point, a marked candidate or one with a
     * smaller id. What is undefined is filled in: features, the features and
     * values of what has been chosen, cost and feasibility where there is a
     * model, and by QuantityModel what the acquisition has to know of the
     * quantity of interest; the best of its values so far, but no other
     * threshold. With SolvedPoints::coarser all but the scales of the levels is
     * filled in, Candidates::limits::enough among it, and a failure on any
     * level marks.
     * @param inputs of the candidates, [n, d].
     * @param k with several levels, what as many full solves are expected to
     * cost on average is what the choices cost, but for a part of the last one;
     * they are no more than @ref most_choices times @p k.
     * @throw InputError for shapes that do not fit, fewer than two values of a
     * quantity that is needed, or where the acquisition lacks what it needs.
     * The state is as before then.
     */
    Choice
    choose(Candidates           candidates,
           const torch::Tensor &inputs,
           const SolvedPoints  &solved,
           const long           k);

    /** Priors of the candidates @p begin, …, @p end − 1, [end − begin, N]. */
    using Priors =
      std::function<torch::Tensor(const long begin, const long end)>;

    /**
     * A whole round of one process: fit(), score() in blocks, choose().
     * @param prior undefined for a host without coarse solutions.
     * @param threshold see Candidates::threshold.
     */
    Choice
    round(const SnapshotSource             &data,
          const FieldSpace                 &space,
          const SolvedPoints               &solved,
          const std::vector<std::uint64_t> &ids,
          const torch::Tensor              &inputs,
          const Priors                     &prior,
          const long                        k,
          const double threshold = std::numeric_limits<double>::quiet_NaN());

    /** The same with several levels, cheapest first; see fit(). */
    Choice
    round(const std::vector<const SnapshotSource *> &levels,
          const FieldSpace                          &space,
          const SolvedPoints                        &solved,
          const std::vector<std::uint64_t>          &ids,
          const torch::Tensor                       &inputs,
          const Priors                              &prior,
          const long                                 k,
          const double threshold = std::numeric_limits<double>::quiet_NaN());

    /** Expected costs of solves by what has been solved, [n]; NaN without a
     * cost model or without costs to learn from. */
    torch::Tensor
    expected_costs(const torch::Tensor &inputs,
                   const SolvedPoints  &solved) const;

    /**
     * The same of solves on each of several levels, cheapest first. Without a
     * cost model they are the mean of those known of the level.
     * @throw InputError where no cost of a level is known.
     */
    std::vector<torch::Tensor>
    expected_level_costs(const torch::Tensor &inputs,
                         const SolvedPoints  &solved) const;

    /** The surrogate as fit() has left it, with all its levels. */
    const MultifidelityModel &
    surrogate() const;

    /** All choices so far. */
    const Acquisition &
    acquisition() const
    {
      return chooser;
    }

    /** "format", "parameters", "seed", "inputs" and "acquisition". */
    nlohmann::json
    state() const;

    /**
     * Go on from what state() has returned.
     * @throw FileError where that is damaged, or the state of a learner with
     * other parameters, another seed or other inputs; @p source is where it
     * is from.
     */
    void
    restore(const nlohmann::json &state, const std::string &source);

    /** Candidates a block: the scores of one may round differently in others.
     */
    static constexpr long block_size = 16;

    /** Choices among levels for each solve of a round's size. */
    static constexpr long most_choices = 32;

  private:
    /** Inputs of order one, logarithms where these are even, [n, d]. */
    torch::Tensor
    scaled(const torch::Tensor &inputs) const;

    /** What methods want to know of a level's solves; some undefined. */
    struct Learned
    {
      torch::Tensor features;      ///< where they are the surrogate's, [m, F]
      torch::Tensor values, norms; ///< see Candidates::chosen_values
    };

    /**
     * @param data what the level has to learn.
     * @param solved the same samples with the level's own solutions.
     */
    Learned
    learn(const SnapshotSource &data,
          const SnapshotSource &solved,
          const FieldSpace     &space,
          const Communicator   &communicator) const;

    /**
     * Fill in what is known of the levels, where there are several.
     * @param inputs of the candidates.
     * @return the candidates that have failed on a coarser level, [n] bool.
     */
    torch::Tensor
    describe_levels(Candidates          &candidates,
                    const torch::Tensor &inputs,
                    const SolvedPoints  &solved,
                    const long           k) const;

    /** Levels and costs of the rows that have just been chosen. */
    void
    describe_choice(const Candidates &candidates, Choice &choice) const;

    /** What solved points tell of the quantity of interest, see choose(). */
    void
    add_quantity(Candidates          &candidates,
                 const torch::Tensor &inputs,
                 const SolvedPoints  &solved) const;

    const std::vector<InputRange> ranges;
    const std::string             source;
    const nlohmann::json          chosen_parameters;
    const std::uint64_t           seed;
    Acquisition                   chooser;
    MultifidelityModel            fitted;

    std::vector<Learned> learned; ///< of each level, by fit()
    std::vector<double>  factors; ///< FidelityLevels::factor()
  };
} // namespace neuraldeal

#endif
