// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_pod_kernel_regression_h
#define neuraldeal_surrogates_pod_kernel_regression_h

#include <neuraldeal/surrogates/gaussian_process.h>
#include <neuraldeal/surrogates/pod_surrogate.h>

namespace neuraldeal
{
  /**
   * Kernel regression of the POD coefficients: no network, no training by
   * gradients of weights. Everything is closed form but the search for a few
   * hyperparameters, and every new snapshot is learned by a block of a
   * Cholesky factor.
   *
   * The parameters have one length, the coefficients of the coarse solution
   * another, unless "length scales" says otherwise; the latter are measured in
   * the norm of the fields, so that modes which hardly occur do not count.
   *
   * A row is a snapshot in one of its images. With more than "exact rows", or
   * where "inducing points" asks for it, GaussianProcess takes inducing inputs.
   */
  class PODKernelRegression : public PODSurrogate
  {
  public:
    /** @throw InputError for the name of a kernel that there is not. */
    PODKernelRegression(const std::vector<InputRange> &inputs,
                        const nlohmann::json          &parameters);

    /** Make this class known under the name "POD kernel regression". */
    static void
    register_type();

  private:
    void
    train_regression(const torch::Tensor &x,
                     const torch::Tensor &y,
                     const Communicator  &communicator) override;

    void
    learn_rows(const torch::Tensor &x,
               const torch::Tensor &y,
               const long           n) override;

    void
    update_posterior() override
    {}

    MemberPredictions
    regress(const torch::Tensor &x) const override;

    MemberPredictions
    regress_without(const long           index,
                    const torch::Tensor &x,
                    const torch::Tensor &y) const override;

    torch::Tensor
    noise_estimate() const override;

    void
    save_regression(ModelFile &file) const override;

    void
    load_regression(const ModelFile &file) override;

    /** The inputs with coarse coefficients in the norm of the fields. */
    torch::Tensor
    weighted(const torch::Tensor &x) const;

    /** Of one member, which has no spread. */
    static MemberPredictions
    alone(const torch::Tensor &mean, const torch::Tensor &leverage);

    /** What the parameters say of the process. */
    GaussianProcess::Parameters
    choices() const;

    /** The numbers of parameters and of coefficients of the coarse solution. */
    std::vector<long>
    groups() const;

    GaussianProcess process;
  };
} // namespace neuraldeal

#endif
