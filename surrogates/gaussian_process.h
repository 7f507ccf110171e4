// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_gaussian_process_h
#define neuraldeal_surrogates_gaussian_process_h

#include <neuraldeal/surrogates/kernel_regression.h>
#include <neuraldeal/surrogates/model_file.h>
#include <neuraldeal/surrogates/sparse_kernel_regression.h>

#include <optional>

namespace neuraldeal
{
  /**
   * Regression of r outputs on d inputs by one Gaussian process, whatever the
   * number of rows: KernelRegression of few of them, SparseKernelRegression of
   * many. What surrogates on POD coefficients, without a network, have in
   * common.
   *
   * Rows come in groups of images, those of a sample one after another, which
   * are never torn apart. All tensors are float64 on the CPU.
   */
  class GaussianProcess
  {
  public:
    /** How it works, by the names of the classes' parameters. */
    struct Parameters
    {
      std::string kernel          = "Matern 5/2"; ///< of CovarianceKernel
      std::string length_scales   = "each group"; ///< of CovarianceKernel
      long        inducing_points = 0;            ///< see below
      long        exact_rows      = 3000;         ///< see below
      bool        search_bound    = true;         ///< see maximize_evidence()
    };

    /**
     * With more rows than Parameters::exact_rows, or where
     * Parameters::inducing_points is not zero, there are that many inducing
     * inputs at most, 1000 where it is.
     * @param groups the number of inputs of each group, which add up to d.
     * @throw InputError for the name of a kernel that there is not.
     */
    GaussianProcess(const std::vector<long> &groups,
                    const Parameters        &parameters);

    /**
     * Choose the hyperparameters by the evidence of these rows, [n, d] and
     * [n, r], of which the search takes the first @p n_evidence samples. Where
     * n are too many for KernelRegression, it goes on from there with the
     * bound of SparseKernelRegression, of four times as many rows as there are
     * inducing inputs, if Parameters::search_bound says so. The rows are not
     * learned; what has been is forgotten.
     * @param n_images rows of a sample.
     */
    void
    maximize_evidence(const torch::Tensor &x,
                      const torch::Tensor &y,
                      const long           n_evidence,
                      const long           n_images);

    /**
     * Learn rows, [n, d] and [n, r]. Where that leads past the number of rows
     * of KernelRegression, the inducing inputs are chosen among all of them,
     * once; the hyperparameters stay.
     */
    void
    add(const torch::Tensor &x, const torch::Tensor &y);

    /** The posterior mean, [n, d] → [n, r]. */
    torch::Tensor
    predict(const torch::Tensor &x) const;

    /**
     * The variance of each row over that of the noise, minus one,
     * [n, d] → [n]. It is that of all outputs.
     */
    torch::Tensor
    leverage(const torch::Tensor &x) const;

    /**
     * What would be predicted for the learned rows @p begin, …, @p end − 1,
     * which are @p x and @p y, had they not been learned, all of them together.
     */
    KernelRegression::LeftOut
    leave_out(const long           begin,
              const long           end,
              const torch::Tensor &x,
              const torch::Tensor &y) const;

    /** The noise variance of each output, [r]. */
    torch::Tensor
    noise_variance() const;

    /** As KernelRegression has them. */
    torch::Tensor
    hyperparameters() const;

    /** Put everything that has been learned into @p file, as @p name. */
    void
    save(ModelFile &file, const std::string &name) const;

    /**
     * Restore what save() has written of the same kernel: the same predictions
     * bit for bit.
     * @throw FileError for another kernel, or tensors that do not fit.
     */
    void
    load(const ModelFile &file, const std::string &name);

  private:
    /** With the hyperparameters it starts at. */
    CovarianceKernel
    kernel() const;

    /** Whether so many rows are too many for KernelRegression. */
    bool
    are_many(const long n_rows) const;

    /** The largest number of inducing inputs. */
    long
    max_inducing() const;

    std::vector<long>                     groups;
    Parameters                            parameters;
    KernelRegression                      exact;
    std::optional<SparseKernelRegression> sparse; ///< if in the place of it
  };
} // namespace neuraldeal

#endif
