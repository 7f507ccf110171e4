// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_pod_network_h
#define neuraldeal_surrogates_pod_network_h

#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/perceptron.h>
#include <neuraldeal/surrogates/pod_surrogate.h>

namespace neuraldeal
{
  /**
   * An ensemble of POD networks (PCA-Net: Bhattacharya, Hosseini, Kovachki
   * and Stuart, "Model reduction and neural networks for parametric PDEs",
   * SMAI J. Comp. Math. 7, 2021): the members are perceptrons that differ by
   * their random start. The last layer of each is a Bayesian linear
   * regression, which learns new snapshots in closed form.
   */
  class PODNetwork : public PODSurrogate
  {
  public:
    PODNetwork(const std::vector<InputRange> &inputs,
               const nlohmann::json          &parameters);

    /** Make this class known under the name "POD network". */
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
    update_posterior() override;

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

    /** One network of the ensemble. */
    struct Member
    {
      Perceptron       perceptron;
      LinearRegression last_layer;
    };

    std::vector<Member> members;
  };
} // namespace neuraldeal

#endif
