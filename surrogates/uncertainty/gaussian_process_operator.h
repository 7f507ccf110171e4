// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_gaussian_process_operator_h
#define neuraldeal_surrogates_uncertainty_gaussian_process_operator_h

#include <neuraldeal/surrogates/gaussian_process.h>
#include <neuraldeal/surrogates/uncertainty/probabilistic_operator.h>

#include <vector>

namespace neuraldeal
{
  /**
   * "Gaussian process": from fields to fields without a network. The POD
   * coefficients of what is to be predicted are Gaussian processes of those of
   * what is given (the maps between reduced spaces of Bhattacharya, Hosseini,
   * Kovachki and Stuart, SMAI J. Comp. Math. 7, 2021, by kernels as in Batlle,
   * Darcy, Hosseini and Owhadi, arXiv:2304.13202, with variances). With the
   * modes v_j, orthonormal in the mean square over points,
   *   u = p + ū + s Σ_j (m_j(x) + σ_j(x) ξ_j) v_j + e,   ξ_j ~ N(0, 1),
   * where p is the coarse solution (zero where there is none; otherwise the
   * correction to it is what is learned), ū the mean of u − p, s a scale of
   * each channel, m_j and σ_j² the mean and the variance of process j, and e
   * what the modes leave: independent from point to point, with the variance
   * that samples have outside of the modes of three quarters of the others.
   *
   * The inputs x are the coefficients of the given fields (or of their
   * logarithms, where these explain more), in the norm of the
   * fields, and those of the coarse solution behind them. Modes form groups of
   * one, two, four, … in the order of their variance, without tearing apart
   * what has the same. A group of inputs shares a length of the kernel, a
   * group of outputs all hyperparameters, which the evidence chooses. The
   * amplitude of each output is the one for which the errors of what is said of
   * samples without them have the variance that is said of them (Sundararajan
   * and Keerthi, Neural Computation 13, 2001), images left out together.
   *
   * Images of the samples under the symmetries of the task are rows as well,
   * and the spans of the modes have these symmetries. So has then the
   * prediction, unless there is a length for each input, or inducing points,
   * or the symmetries are so many that the modes rest on a part of the samples
   * with multiple eigenvalues that rounding has split.
   *
   * It needs fields at fixed points (or a grid), with the same mask, if any, in
   * all samples. Where the factor of the task or the mask is zero the answer is
   * the coarse solution, or zero, without variance. Fields may be in any type
   * and on any device: the work is done in float64 on the CPU. The type of the
   * operator, its parameters, the norm and the options of the task are not
   * used: there is nothing random in it.
   *
   * A fit costs O(n³) operations a step of the search for the n rows whose
   * evidence counts and each group of outputs, and O(N n²) for modes of N
   * values.
   */
  class GaussianProcessOperator : public ProbabilisticOperator
  {
  public:
    /** @param parameters complete, as registered; see register_type(). */
    explicit GaussianProcessOperator(const nlohmann::json &parameters);

    /**
     * @throw InputError for less than two samples, points or masks that differ
     * between samples, and symmetries that do not map the mask and the factor
     * to themselves.
     */
    bool
    needs_fixed_points() const override
    {
      return true;
    }

    bool
    is_random() const override
    {
      return false;
    }

    void
    fit(const Task &task) override;

    /**
     * The factor has a column for each mode, n · N · r numbers in all: many
     * samples are better asked for in batches. What is not a number in an input
     * (a logarithm included) is not one in the mean and the factor either.
     * @throw InputError for fields of another shape than those of the
     * training, other points, another mask, or where coarse solutions are
     * missing.
     */
    FieldDistribution
    predict(const OperatorData &data) const override;

    void
    save(ModelFile &file) const override;

    /** With the parameters of the file in place of those given before. */
    void
    load(const ModelFile &file) override;

    /** Does nothing: the answers are where the data are. */
    void
    to(const torch::TensorOptions &options) override;

    /** Make this class known under its name. */
    static void
    register_type();

  private:
    /** Fields of N values as coefficients of unit variance, and back. */
    struct Basis
    {
      torch::Tensor mean;       ///< [N]
      torch::Tensor scale;      ///< [N], the same in all points of a channel
      torch::Tensor modes;      ///< [N, r], orthonormal in the mean square
      torch::Tensor deviations; ///< [r], root mean squares of coefficients

      /**
       * Of @p fields, [n, N], and all their @p images.
       * @param n_channels that N is made of.
       * @param variance the share of it that the modes hold.
       */
      static Basis
      of_fields(const torch::Tensor              &fields,
                const long                        n_channels,
                const std::vector<torch::Tensor> &images,
                const double                      variance,
                const long                        max_modes);

      /** [n, N] → [n, r] */
      torch::Tensor
      coefficients(const torch::Tensor &fields) const;

      /** The modes of unit variance as fields, [N, r]. */
      torch::Tensor
      fields() const;

      /** Numbers of modes in a group. */
      std::vector<long>
      groups() const;

      /** Mean square over @p fields and images of what the modes leave, [N]. */
      torch::Tensor
      remainder(const torch::Tensor              &fields,
                const std::vector<torch::Tensor> &images) const;

      /** The tensors and their names. */
      std::vector<std::pair<std::string, torch::Tensor *>>
      state();
    };

    /** Where fields are given and what is not known of them. */
    struct Places
    {
      std::vector<std::int64_t> input;   ///< [c, …]
      std::vector<std::int64_t> output;  ///< [c, …]
      torch::Tensor             points;  ///< [P, d]; may be undefined
      torch::Tensor             counted; ///< [P], zero where masked
      torch::Tensor             unknown; ///< [N], zero where the value is known

      /** [N], one where logarithms of what is given are learned from. */
      torch::Tensor logarithmic;
    };

    /** Which @p data do not fit is said by the name @p source. */
    void
    check_places(const OperatorData &data, const std::string &source) const;

    /** What is given, zero at masked points, maybe in logarithms: [n, N]. */
    torch::Tensor
    given_fields(const OperatorData &data) const;

    /** The coarse solutions, zero at masked points, [n, N], if there are. */
    torch::Tensor
    given_priors(const OperatorData &data) const;

    /** Inputs of the processes. @p priors may be undefined. */
    torch::Tensor
    inputs(const torch::Tensor &fields, const torch::Tensor &priors) const;

    /** The sizes of the groups that lengths belong to. */
    std::vector<long>
    input_groups() const;

    /** One for all values of channels of @p data that are positive, [N]. */
    torch::Tensor
    positive_channels(const OperatorData &data) const;

    /** One for each group of outputs, without rows. */
    void
    make_processes();

    nlohmann::json parameters;

    bool                         with_prior = false;
    Places                       places;
    Basis                        given, prior, predicted;
    torch::Tensor                remainder; ///< variance of e, [N]
    torch::Tensor                noise;     ///< σ_j² λ, [r]
    std::vector<GaussianProcess> processes;
  };
} // namespace neuraldeal

#endif
