// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_multifidelity_model_h
#define neuraldeal_surrogates_multifidelity_model_h

#include <neuraldeal/surrogates/surrogate.h>

#include <functional>
#include <memory>
#include <vector>

namespace neuraldeal
{
  /**
   * Solves of the same problem on several levels of fidelity, such as meshes,
   * as what there is to learn on each: with the corrections c_l = u_l − p of
   * the level's solutions u_l to the prior p,
   *   d_0 = c_0,  d_l = c_l − ρ_l c_{l−1},
   * so that the finest correction is Σ_l R_l d_l with R_l = Π_{k>l} ρ_k
   * (Kennedy and O'Hagan, Biometrika 87, 2000, with a constant ρ; one process
   * for each level, learned by itself, as Le Gratiet and Garnier, Int. J.
   * Uncertainty Quantification 4, 2014).
   *
   * What a coarser solve has to tell is what the inputs do not tell. So ρ_l is
   * the factor by which the errors e' of the coarser corrections, each
   * predicted from the others, explain those e of the finer ones best,
   *   ρ_l = Σ_i (e_i, e'_i)/Σ_i |e'_i|²
   * over the n inputs that have been solved on both levels, where both are
   * predicted, as deviations from their means, by the Gaussian process on the
   * inputs that suits the finer ones (ErrorProcess). So trends that agree are
   * not counted, which are easily learned, and a smooth correction does not
   * become a rough one by what is subtracted: ρ_l e' is no larger than e. ρ_l
   * is shrunk by the positive part of 1 − 1/F with F = (n − 2) r²/(1 − r²) for
   * the correlation r of these errors, and zero for n < 3. It is about one for
   * a mesh that is a bit coarser, and zero, or hardly more, for a level that
   * says nothing of the next: then d_l = c_l, and what the coarser one is worth
   * vanishes with R_{l−1}.
   */
  class FidelityLevels
  {
  public:
    /**
     * @param levels what has been solved on each level, cheapest first, with
     * one snapshot at least. The inputs of a level have been solved on the
     * levels below as well, with the same prior. The sources are referred to.
     * @param space whose inner product correlations are of.
     * @param inputs those of which are logarithmic are so for the process of ρ;
     * none: all as they are.
     * @throw InputError where a level has no snapshot, or an input that the
     * level below has not.
     */
    FidelityLevels(const std::vector<const SnapshotSource *> &levels,
                   const FieldSpace                          &space,
                   const std::vector<InputRange>             &inputs = {});

    long
    size() const
    {
      return long(sources.size());
    }

    /** What level @p level has to learn: its solutions are p + d_l. */
    const SnapshotSource &
    operator[](const long level) const
    {
      return *sources[level];
    }

    /** R_l; one for the finest level. */
    double
    factor(const long level) const
    {
      return factors[level];
    }

  private:
    std::vector<const SnapshotSource *>          sources;
    std::vector<std::unique_ptr<SnapshotSource>> differences;
    std::vector<double>                          factors;
  };



  /**
   * A surrogate for each level of FidelityLevels, and together one of the
   * finest level's solutions. With a single level it is that surrogate, bit
   * for bit.
   */
  class MultifidelityModel
  {
  public:
    using Factory = std::function<std::unique_ptr<Surrogate>()>;

    /** @param factory makes the surrogate of a level, the same for all. */
    explicit MultifidelityModel(const Factory &factory);

    /** Learn from scratch; see Surrogate::fit(). */
    void
    fit(const FidelityLevels &levels,
        const FieldSpace     &space,
        const Communicator   &communicator = Communicator());

    /** Keep a slice of the fields alone; see Surrogate::load(). */
    void
    distribute(const long          first_value,
               const long          n_values,
               const Communicator &group);

    struct Prediction : neuraldeal::Prediction
    {
      /**
       * What each level contributes to the scale, R_l s_l for the scale s_l of
       * its surrogate, [n, levels]; undefined with a single level.
       */
      torch::Tensor level_scales;
    };

    /**
     * The mean is p + Σ_l R_l (m_l − p) for the means m_l of the levels, the
     * scale √(Σ_l (R_l s_l)²), since levels are learned independently. The norm
     * is the coarsest level's, the novelty the largest one. There are neither
     * standard deviations of values nor the size of the correction.
     */
    Prediction
    predict(const Inputs &inputs) const;

    /** Surrogate::features() of the coarsest level, which has most to learn
     * them from. */
    torch::Tensor
    features(const Inputs &inputs) const
    {
      return surrogates.front()->features(inputs);
    }

    /** The number of values of a field (of this process's slice). */
    long
    n_values() const
    {
      return surrogates.front()->n_values();
    }

    long
    n_levels() const
    {
      return long(surrogates.size());
    }

    /** The surrogate of a level. */
    const Surrogate &
    level(const long number) const
    {
      return *surrogates[number];
    }

  private:
    const Factory                           factory;
    std::vector<std::unique_ptr<Surrogate>> surrogates;
    std::vector<double>                     factors; ///< R_l
  };
} // namespace neuraldeal

#endif
