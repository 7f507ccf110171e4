// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_acquisition_acquisition_h
#define neuraldeal_surrogates_acquisition_acquisition_h

#include <neuraldeal/surrogates/registry.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * What is known of the n candidates on one of several levels of fidelity, and
   * of what has been learned there, which for all levels but the cheapest one
   * is the difference to the level below; see FidelityLevels.
   */
  struct CandidateLevel
  {
    torch::Tensor cost; ///< of a solve on this level alone, [n], > 0

    /** The part of the predicted relative error that is this level's, [n]. */
    torch::Tensor scale;

    /** As those of Candidates, of the m solves on this level. */
    torch::Tensor chosen_features, chosen_values, chosen_norms;

    /** By which errors of the values are errors of the solution. */
    double factor = 1.;
  };



  /**
   * The n candidates of one round of active learning, and what is known of
   * them; undefined is what is not known. Tensors are on any device, of any
   * floating point type, and are taken to float64 on the CPU.
   */
  struct Candidates
  {
    /** What a candidate is called in all rounds, [n], all different. */
    std::vector<std::uint64_t> ids;

    torch::Tensor features;    ///< inputs, or features of them, [n, F]
    torch::Tensor scale;       ///< predicted relative errors, [n], ≥ 0
    torch::Tensor residual;    ///< the host's own scores, [n], ≥ 0
    torch::Tensor mean;        ///< of a quantity of interest, [n]
    torch::Tensor deviation;   ///< of that, in its units, [n], ≥ 0
    torch::Tensor cost;        ///< of a solve, in any unit, [n], > 0
    torch::Tensor feasibility; ///< probability that it succeeds, [n]
    torch::Tensor marked;      ///< not to be chosen, test points, [n] bool

    /** Features of the samples that have been solved, [m, F]. */
    torch::Tensor chosen_features;

    /**
     * What has been learned at these samples, by its coefficients in an
     * orthonormal basis, [m, r]; for errors over a norm, that of each sample,
     * [m], > 0.
     */
    torch::Tensor chosen_values, chosen_norms;

    /**
     * Features of inputs that follow the distribution of what will be asked,
     * [R, F], for means over it; where they are undefined, the candidates.
     */
    torch::Tensor reference_features;

    /**
     * Where there are several levels on which a candidate may be solved: all
     * of them, cheapest first. A solve on one comes with those on the levels
     * below it. Values and norms above are not looked at then; chosen_features
     * are those of the finest level.
     */
    std::vector<CandidateLevel> levels;

    /** Set CandidateLevel::scale of all levels, [n, levels]. */
    void
    set_level_scales(const torch::Tensor &scales);

    /** On how many levels, from the cheapest, they are solved, [n] int64. */
    torch::Tensor n_solved;

    /** Where the choices of a round among levels end. */
    struct Limits
    {
      /** Before one with which all together would cost more than this. */
      double cost = std::numeric_limits<double>::infinity();

      /** When all together cost this. */
      double enough = std::numeric_limits<double>::infinity();

      /** Before one with which more than these would be on the finest level. */
      long n_finest = std::numeric_limits<long>::max();
    } limits;

    /**
     * The threshold t of the quantity of interest; for "expected improvement"
     * its best value so far. In the units of the quantity.
     */
    double threshold = std::numeric_limits<double>::quiet_NaN();
  };



  /**
   * What a method has to be told of candidates that neither their inputs nor a
   * surrogate tell.
   */
  struct AcquisitionNeeds
  {
    bool residual = false; ///< Candidates::residual

    /** Candidates::mean, Candidates::deviation and Candidates::threshold. */
    bool quantity = false;

    /** What the last of these is. */
    enum class Threshold
    {
      given,    ///< a number that the user has to say
      smallest, ///< the smallest value so far
      largest   ///< the largest value so far
    };
    Threshold threshold = Threshold::given;

    /** Whether the user has to say a threshold. */
    bool
    given_threshold() const
    {
      return quantity && threshold == Threshold::given;
    }
  };



  /**
   * The random numbers of one round, one for each candidate: a function of
   * seed, round and id, whatever the other candidates are.
   */
  class RoundRandom
  {
  public:
    RoundRandom(const std::uint64_t seed, const std::uint64_t round);

    /** Uniform in (0, 1). */
    double
    uniform(const std::uint64_t id) const;

    /** By Gumbel's distribution, exp(−exp(−x)). */
    double
    gumbel(const std::uint64_t id) const;

  private:
    std::uint64_t seed;
  };



  /**
   * A way to choose among candidates, which is the same for the same arguments
   * and has no state.
   */
  class AcquisitionFunction
  {
  public:
    virtual ~AcquisitionFunction() = default;

    struct Choice
    {
      long   row;
      double score;
      long   level = -1; ///< −1 where the method leaves it open, or has none
    };

    /**
     * Choose @p k of @p candidates, best first. A method that chooses levels as
     * well may choose a candidate again, on a higher one, and end early by
     * Candidates::limits.
     * @param candidates as Acquisition hands them over: float64 on the CPU,
     * checked, by ascending id, all of them free to be chosen, so that the
     * first of equal ones is that of the smallest id.
     * @param k not more than there are.
     * @throw InputError where something is not known that is needed.
     */
    virtual std::vector<Choice>
    choose(const Candidates  &candidates,
           const long         k,
           const RoundRandom &random) const = 0;

    /** What candidates have to come with. */
    virtual AcquisitionNeeds
    needs() const
    {
      return {};
    }
  };

  using AcquisitionFactory = std::function<
    std::unique_ptr<AcquisitionFunction>(const nlohmann::json &parameters,
                                         const std::string    &source)>;

  /** The methods there are. A factory takes complete parameters. */
  using AcquisitionRegistry = Registry<AcquisitionFunction, AcquisitionFactory>;

  /**
   * Register the methods of this library. Each choice of those by a score is
   * that of the largest one, or the smallest id among equal ones:
   *
   *   random                 uniform; the score is the random number
   *   largest uncertainty    predicted scale
   *   residual               what the host hands in, such as the dual norm of
   *                          the finite element residual of the prediction,
   *                          which needs no solve
   *   U function             P(wrong side of the threshold), Φ(−U)
   *   expected feasibility   log_expected_feasibility()
   *   expected improvement   log_expected_improvement(), or with the goal
   *                          "maximize" that of the negative quantity
   *   power sampling         (score)^β exp(Gumbel noise) with any of the
   *                          scores above: k candidates without replacement,
   *                          each time with probabilities ∝ (score)^β (Kirsch,
   *                          Farquhar, Atighehchian, Jesson, Branchaud-Charron
   *                          and Gal, "Stochastic batch acquisition", TMLR,
   *                          arXiv:2106.12059, 2023)
   *
   *   core set               the largest distance to all that is chosen (Sener
   *                          and Savarese, arXiv:1708.00489; Gonzalez, Theor.
   *                          Comput. Sci. 38, 1985)
   *
   *   largest cluster        candidates belong to the nearest of what is
   *                          chosen; the farthest one in the cluster with the
   *                          largest sum of squared distances (Holzmüller,
   *                          Zaverkin, Kästner and Steinwart, JMLR 24, 2023,
   *                          arXiv:2203.09410, LCMD-TP)
   *
   * Scores are multiplied by Candidates::feasibility where that is known, and
   * divided by Candidates::cost to the "cost power"; for the last two this is a
   * weight of distances, as is the scale to the "uncertainty power". Where
   * nothing has been chosen, they start at the candidate of the largest weight,
   * the closest to the mean of all among equal ones.
   *
   * What has been chosen in a round is told to scores that the host has
   * computed before by one of the ways to make a "batch":
   *
   *   top            not at all
   *   conditioning   scales (residuals, deviations) are multiplied by √(v'/v)
   *                  for the variances v, given what is chosen, and v', given
   *                  the round's choices as well, of a Gaussian process with a
   *                  "kernel" on the features (Rasmussen and Williams, 2006,
   *                  equation 2.26); means stay, which they do in expectation.
   *                  O(n m² + n k (m + k)) operations, O(n (m + k)) memory
   *   diversity      of the "pool factor" times k largest scores the first,
   *                  then always the one farthest from all that is chosen
   *
   * Each choice of "integrated error" is that by which the expected p-th power
   * of the error, in the mean over inputs z_j, falls the most, whatever is
   * largest at the candidate itself, as variances are in the corners of the
   * inputs:
   *   Σ_j w_j cov(x, z_j)²/(var(x) + λ)
   * given all that is chosen (Cohn, Neural Networks 9, 1996; Seo, Wallat,
   * Graepel and Obermayer, IJCNN 2000). The Gaussian process is the one that
   * ErrorProcess learns from Candidates::chosen_values, and
   *   w_j = level(z_j)^{p/2} (var(z_j) + λ)^{p/2−1}
   * is the derivative of the power by the variance. Without these values, it
   * is one with the given length, and p = 2, level 1. Of the 256 candidates for
   * which this first order is largest, the one counts for which the whole
   * difference Σ_j level(z_j)^{p/2} ((var(z_j) + λ)^{p/2} − (var(z_j) + λ −
   * r_j)^{p/2}) with r_j = cov(x, z_j)²/(var(x) + λ) is: where a sample leaves
   * little of a variance, the first order of its root is half of it. O(n R (m +
   * k)) operations and O((n + R) (m + k) + n R) memory for R inputs z_j. It is
   * Acquisition::default_type().
   *
   * With Candidates::levels a choice is that of a candidate and of a level up
   * to which it is solved. The error is the sum of those of the levels, which
   * are independent, each with a process of its own: at z_j its square is
   *   s_j = Σ_l R_l² level_l(z_j) (var_l(z_j) + λ_l)
   * with R_l by CandidateLevel::factor. "integrated error" takes the pair of x
   * and l by which Σ_j s_j^{p/2} falls the most for its cost: with
   *   r_j = Σ_k R_k² level_k(z_j) cov_k(x, z_j)²/(var_k(x) + λ_k)
   * the largest
   *   Σ_j (s_j^{p/2} − (s_j − r_j)^{p/2}) / (Σ_k cost_k(x))^q
   * where k are the levels up to l on which x has not been solved, and q is
   * the "cost power", or one where that is zero: costs are what levels are
   * there for. (On each level for the 256 candidates of the largest first
   * order.) A level that says nothing of the finest one has R_l = 0, and is not
   * paid for. Where a level has less than two solves, or no level has any
   * error, the finest is chosen. All other methods choose the candidate as if
   * there were but one level, then the level l with the largest
   *   Σ_k scale_k²/Σ_k cost_k,
   * the share of the predicted variance that it ends, for its cost.
   *
   * Features are divided by their standard deviations, over candidates and
   * chosen samples together, unless "features" is "as given".
   */
  void
  register_acquisitions();



  /**
   * The choices of an active learning loop, round after round. What it is and
   * has done is a JSON object, so that a loop that was stopped goes on as if it
   * had not been, bit for bit.
   */
  class Acquisition
  {
  public:
    /** One choice, and why. */
    struct Decision
    {
      std::uint64_t round;      ///< which call of choose()
      std::uint64_t id;         ///< of the candidate
      double        score;      ///< at its turn; of what, the method says
      long          level = -1; ///< where there are several
    };

    /**
     * @param type, parameters a method and overrides of its defaults; see
     * register_acquisitions().
     * @param source where they come from, for error messages.
     * @throw InputError for a wrong entry.
     */
    Acquisition(const std::string    &type,
                const nlohmann::json &parameters,
                const std::uint64_t   seed,
                const std::string    &source = "the program");

    /**
     * One round: choose @p k of @p candidates, best first, all that are left
     * where these are fewer. Those that are marked and those that have been
     * chosen before are never chosen. The order of the candidates is of no
     * influence. With Candidates::levels a candidate may be chosen again on
     * a higher level, in the same round or another, and choices may end early
     * by the limits; the levels stand in decisions().
     * @return their rows.
     * @throw InputError for candidates that are not as Candidates says, or that
     * lack what the method needs; the state is as before then.
     */
    std::vector<long>
    choose(const Candidates &candidates, const long k);

    /** What candidates have to come with. */
    AcquisitionNeeds
    needs() const
    {
      return function->needs();
    }

    /** The method to take where nothing is said. */
    static std::string
    default_type()
    {
      return "integrated error";
    }

    /** All choices so far. */
    const std::vector<Decision> &
    decisions() const
    {
      return made;
    }

    /** How many rounds there have been. */
    std::uint64_t
    n_rounds() const
    {
      return round;
    }

    /**
     * Everything: "format", "type", "parameters", "seed", "rounds" and
     * "decisions", a list of [round, id, score], with levels [round, id, score,
     * level]; a score of −∞ is null.
     */
    nlohmann::json
    state() const;

    /**
     * From what state() has returned.
     * @throw FileError where that is damaged, InputError for a method or a
     * parameter that there is not; @p source is where it is from.
     */
    static Acquisition
    from_state(const nlohmann::json &state, const std::string &source);

    /**
     * Write state() into a file, which is whole or as before after a crash.
     * @throw FileError
     */
    void
    save(const std::string &filename) const;

    /** Read what save() has written, like from_state(). */
    static Acquisition
    load(const std::string &filename);

  private:
    std::string                                type;
    nlohmann::json                             parameters; ///< complete
    std::uint64_t                              seed;
    std::uint64_t                              round = 0;
    std::vector<Decision>                      made;
    std::shared_ptr<const AcquisitionFunction> function;
  };
} // namespace neuraldeal

#endif
