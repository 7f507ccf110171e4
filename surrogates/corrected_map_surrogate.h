// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_corrected_map_surrogate_h
#define neuraldeal_surrogates_corrected_map_surrogate_h

#include <neuraldeal/surrogates/pod_surrogate.h>
#include <neuraldeal/surrogates/surrogate.h>

namespace neuraldeal
{
  /**
   * A deterministic map of any kind, G: (parameters μ, coarse solution p) →
   * field, and beside it what it leaves of the solution: the remainder
   * u − G(μ, p) is learned in closed form by a "POD kernel regression" whose
   * coarse solution is G(μ, p). That brings an uncertainty, updates and scores
   * to maps that have none of their own. (With a linear model in the place of
   * G this is kriging with a trend: Rasmussen and Williams, *Gaussian
   * processes for machine learning*, 2006, section 2.7.)
   *
   * The remainder is small on data that G has been trained on, and says
   * nothing of other inputs there. So a share of the snapshots of fit(),
   * chosen at random by the seed, trains G; the remainder is learned from the
   * others, and from those of update(). At least three snapshots are needed.
   *
   * The problem's symmetries hold for G exactly: it is the mean of a map and
   * its images, g⁻¹ map(g (μ, p)), over the group. So the images of a
   * remainder are remainders of images, which its regression relies on; a
   * prediction costs one map for each symmetry.
   *
   * Where solution and coarse solution are the same number in all snapshots of
   * fit() and their images (zero boundary values, any others that the host's
   * coarse solution satisfies), G is set to the coarse solution, and every
   * prediction is equal to it there, bit for bit.
   *
   * Some maps know how sure they are, and say q = √trace(M·Cov) of a
   * distribution of their own (of images: the root of the mean of q²). What the
   * remainder's regression says depends on the distance to its data alone, and
   * becomes
   *   s = a s_r g,  g = (κ/κ̄)^γ,  κ = q/ρ,
   * where s_r is its scale with what the basis leaves, ρ the norm of G, to
   * which s_r is relative as well, and κ̄ the geometric mean of κ over the
   * snapshots that the remainder was fitted with. No input is believed more
   * than the surest of these: κ is at least the smallest of theirs. With the
   * errors e_i of these snapshots, each predicted without itself,
   *   γ = argmin Σ e_i²/(s_r,i² g_i²),  0 ≤ γ ≤ 1,
   * which is the maximum of the likelihood of the squares, if e_i²/(s_r,i g_i)²
   * has any Gamma distribution with a free mean and a free shape (a χ² of as
   * many directions as errors have): the product of all g_i is one. Where the
   * likelihood is not better than that of γ = 0 by what a further parameter
   * costs by the corrected criterion of Akaike (Hurvich and Tsai, Biometrika
   * 76, 1989), γ = 0: then the map's opinion is worth nothing, and the scale is
   * that of the remainder. With γ = 0, a = 1 as well; otherwise a leaves
   * the mean square of errors over scales of the held-out snapshots what it is
   * with γ = 0. The covariance is multiplied by (a g)².
   *
   * What is not a number in an input is not one in the mean and the scale
   * either, whatever G makes of it.
   *
   * What the basis of the remainder does not hold is measured on the held-out
   * snapshots, and enters the scale only: for a network's remainder it may be
   * most of it, and then the covariance factor holds little.
   *
   * G needs whole fields, so that load() refuses groups of several processes.
   * The snapshots of fit() have to fit into memory.
   */
  class CorrectedMapSurrogate : public Surrogate
  {
  public:
    /**
     * In a group of several processes all need all snapshots and have the same
     * surrogate in the end.
     * @throw InputError for too few snapshots
     */
    void
    fit(const SnapshotSource &data,
        const FieldSpace     &space,
        const Communicator   &communicator) override;

    /**
     * A row holds what the remainder's own regression says of the snapshot,
     * then, with m = G − p, r coefficients c of m in the basis of the
     * remainder, and ρ the norm of G by the coefficients of G:
     *   ‖m‖/‖u‖, ‖what the basis leaves of u − G‖/ρ, ‖u − p‖/‖u‖, κ, c/‖u‖,
     * with κ = 1 where the map does not say how sure it is.
     */
    torch::Tensor
    summarize(const Snapshots &snapshots, const Norms &norms) const override;

    void
    update(const torch::Tensor     &summaries,
           const std::vector<long> &ids,
           const bool               held_out) override;

    Prediction
    predict(const Inputs          &inputs,
            const PredictionParts &parts = {}) const override;

    HeldOutScores
    held_out_scores() const override;

    torch::Tensor
    held_out_mean(const long index, const torch::Tensor &prior) const override;

    long
    n_values() const override
    {
      return known.size(0);
    }

    /**
     * γ, how much what the map says of its own errors is worth: from zero to
     * one.
     */
    double
    scale_exponent() const
    {
      return exponent;
    }

    /** Those that G was trained on included. */
    long
    n_snapshots() const override
    {
      return n_map_snapshots + remainder->n_snapshots();
    }

    void
    save(ModelFile &file) const override;

    /** @throw FileError in a group of several processes as well */
    void
    load(const ModelFile    &file,
         const long          first_value,
         const long          n_values,
         const Communicator &group) override;

    bool
    supports_covariance() const override
    {
      return true;
    }

    bool
    supports_slices() const override
    {
      return false;
    }

  protected:
    /**
     * @param type the name that the class is registered under.
     * @param parameters those of remainder_parameters() among them.
     * @param training_share of the snapshots of fit() that G is trained on;
     * zero where it needs none.
     * @param seed chooses these snapshots.
     */
    CorrectedMapSurrogate(const std::string             &type,
                          const std::vector<InputRange> &inputs,
                          const nlohmann::json          &parameters,
                          const double                   training_share,
                          const std::uint64_t            seed);

    /** The parameters of the remainder's regression. */
    static std::vector<ParameterDescription>
    remainder_parameters();

    /** What a map says of n inputs. */
    struct Answer
    {
      torch::Tensor field; ///< [n, N] float64

      /**
       * [n] float64, how far it thinks to be off: √trace(M·Cov). Undefined
       * where it has no opinion, then for all inputs.
       */
      torch::Tensor scale;
    };

    /**
     * Choose G.
     * @param training the share of the snapshots that G may see.
     * @param known [N] bool: where the answer is the coarse solution.
     */
    virtual void
    fit_map(const Snapshots     &training,
            const torch::Tensor &known,
            const FieldSpace    &space,
            const Communicator  &communicator) = 0;

    /**
     * Called with inputs of snapshots that G has not been trained on, before
     * anything is learned from map(): the place to say what is wrong with it.
     */
    virtual void
    verify_map(const Inputs &inputs)
    {
      (void)inputs;
    }

    /**
     * The map of a few inputs before symmetries and known values are imposed.
     * Rows with values that are not finite are replaced afterwards.
     */
    virtual Answer
    map(const Inputs &inputs) const = 0;

    virtual void
    save_map(ModelFile &file) const = 0;

    virtual void
    load_map(const ModelFile &file) = 0;

    /** Mass matrix and symmetries, there before fit_map() and load_map(). */
    const FieldSpace &
    field_space() const
    {
      return space;
    }

    const std::string             type;
    const std::vector<InputRange> ranges;
    const nlohmann::json          parameters;

  private:
    /** G: the mean over the symmetries of map(), in blocks. */
    Answer
    evaluate_map(const Inputs &inputs) const;

    /** A regression for the remainder that has learned nothing yet. */
    std::unique_ptr<PODSurrogate>
    make_remainder() const;

    /** Columns of the held-out summaries; see summarize(). */
    struct OwnSummary
    {
      torch::Tensor norm;             ///< [n] ρ/‖u‖
      torch::Tensor map_correction;   ///< [n] ‖m‖/‖u‖
      torch::Tensor outside;          ///< [n] relative to ρ
      torch::Tensor prior_error;      ///< [n] ‖u − p‖/‖u‖
      torch::Tensor opinion;          ///< [n] κ
      torch::Tensor map_coefficients; ///< [n, r] c/‖u‖
    };

    OwnSummary
    own_summary(const torch::Tensor &summaries) const;

    /** The columns of a summary that are the remainder's. */
    long
    remainder_width() const
    {
      return held_out.size(1) - 4 - n_modes;
    }

    /** κ for q and ρ, both [n]; ones where q is undefined. */
    static torch::Tensor
    relative(const torch::Tensor &q, const torch::Tensor &rho);

    /**
     * Choose κ̄ and γ.
     * @param errors over their scales, e_i/s_r,i, [n].
     * @param opinions κ of the same snapshots, [n].
     */
    void
    weigh_opinions(const torch::Tensor &errors, const torch::Tensor &opinions);

    /** a g, [n], for @p opinions κ. */
    torch::Tensor
    growth(const torch::Tensor &opinions) const;

    /** The scores of the held-out snapshots as if γ were zero. */
    HeldOutScores
    scores_without_opinions() const;

    /**
     * What held-out snapshots say of the part that the basis leaves, and of a.
     */
    void
    refresh();

    const double        training_share;
    const std::uint64_t seed;

    std::unique_ptr<PODSurrogate> remainder;
    FieldSpace                    space;    ///< without its points
    torch::Tensor                 known;    ///< [N] bool
    torch::Tensor                 held_out; ///< summaries, [n, …]
    long                          n_map_snapshots = 0;
    long                          n_modes         = 0;

    /** Mean square of what the basis leaves of a remainder, relative to ρ. */
    double outside_square = 0;

    double log_opinion     = 0; ///< log κ̄
    double log_min_opinion = 0; ///< of the smallest κ
    double exponent        = 0; ///< γ
    double level           = 1; ///< a
  };
} // namespace neuraldeal

#endif
