// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/linear_regression.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>

#include <cmath>

#include "small_operators.h"
#include "test_tools.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Laplace = LaplaceApproximation;

  torch::Tensor
  identity(const long n)
  {
    return torch::eye(n, torch::kFloat64);
  }

  Laplace
  fitted(const SmallOperator &net, const nlohmann::json &parameters)
  {
    Laplace result(net.model, Laplace::parse(parameters, "test"), "test");
    result.fit(net.data);
    return result;
  }

  /** J at all samples, [values, P]. */
  torch::Tensor
  jacobian(const SmallOperator &net, const WeightSelection &weights)
  {
    return Linearization([&]() { return net.model->forward(net.data); },
                         weights)
      .dense();
  }

  /** Σ_i J_iᵀ W J_i from dense Jacobians, W = 1/r_c. */
  torch::Tensor
  brute_force(const SmallOperator &net, const Laplace &laplace)
  {
    const auto J = jacobian(net, laplace.weights());
    const auto w = (laplace.noise_factor() / laplace.noise_variance())
                     .reshape({1, -1, 1, 1})
                     .expand_as(net.data.target)
                     .reshape({-1, 1});
    return torch::mm(J.t(), w * J);
  }



  /**
   * A model of which the value at the first of four points is linear in the
   * weights, wᵀ (a, 1), and others are zero.
   */
  struct LinearModel : SmallOperator
  {
    explicit LinearModel(const long n)
    {
      model = std::make_shared<OperatorModel>(
        "POD DeepONet",
        OperatorShape{1, 1, 1},
        nlohmann::json{{"sensors", 4}, {"basis", 1}, {"branch layers", 0}},
        false,
        "test",
        1);
      model->to(torch::kFloat64);
      auto buffers = model->named_buffers();
      buffers["network.mean"].zero_();
      buffers["network.modes"].copy_(
        torch::tensor({1., 0., 0., 0.}, torch::kFloat64).reshape({1, 1, 4}));
      data.input.fields = random_normal({n, 1, 4}, 601);
      features          = torch::cat({data.input.fields.flatten(1),
                                      torch::ones({n, 1}, torch::kFloat64)},
                            1);
      outputs           = torch::mm(features, random_normal({5, 1}, 602)) +
                0.5 * random_normal({n, 1}, 603);
      data.target = torch::constant_pad_nd(outputs.unsqueeze(2), {0, 3});
      counted     = torch::tensor({1., 0., 0., 0.}, torch::kFloat64);

      regression = std::make_unique<LinearRegression>(5, 1);
      regression->add(features, outputs);
      regression->maximize_evidence();
      const auto w = regression->predict(identity(5)).flatten();
      // The graph of a parameter is not to know of it.
      for (auto &parameter : model->named_parameters())
        parameter.value().set_data(parameter.key() ==
                                       "network.branch.layer_0.weight" ?
                                     w.slice(0, 0, 4).reshape({1, 4}).clone() :
                                     w.slice(0, 4).clone());
    }

    torch::Tensor                     features, outputs, counted;
    std::unique_ptr<LinearRegression> regression;
  };



  // The posterior is Gaussian then, and the weights are where its evidence is
  // stationary: what is found must be what LinearRegression has found.
  TEST(LaplaceApproximation, LinearModelsAreExact)
  {
    const LinearModel net(12);
    const double sigma2 = net.regression->noise_variance()[0].item<double>();
    const double delta  = net.regression->regularization() / sigma2;
    for (const std::string form : {"full", "low rank", "Kronecker"})
      {
        Laplace laplace(
          net.model,
          Laplace::parse({{"form", form}, {"weights", "all"}, {"draws", 0}},
                         "test"),
          "test");
        laplace.fit(net.data, net.counted);
        laplace.maximize_evidence();
        EXPECT_NEAR(laplace.noise_variance()[0].item<double>(),
                    sigma2,
                    1e-6 * sigma2)
          << form;
        EXPECT_NEAR(laplace.prior_precision()[0].item<double>(),
                    delta,
                    1e-6 * delta)
          << form;

        // The marginal likelihood in the space of the data.
        const auto d = laplace.prior_precision()[0].item<double>();
        const auto s = laplace.noise_variance()[0].item<double>();
        const auto C =
          s * identity(12) + torch::mm(net.features, net.features.t()) / d;
        const auto z =
          torch::mm(at::linalg_inv(at::linalg_cholesky(C)), net.outputs);
        const double exact =
          -0.5 *
          (z.square().sum().item<double>() +
           2. * at::linalg_cholesky(C).diagonal().log().sum().item<double>() +
           12. * std::log(2. * M_PI));
        EXPECT_NEAR(laplace.log_evidence(), exact, 1e-7) << form;

        const auto variance = laplace.variance(net.data);
        EXPECT_LT(distance(variance.select(2, 0).flatten(),
                           sigma2 * net.regression->leverage(net.features)),
                  1e-8)
          << form;
        EXPECT_EQ(variance.slice(2, 1).abs().max().item<double>(), 0.);
      }
  }



  TEST(LaplaceApproximation, FormsHoldTheirPartOfTheGaussNewtonMatrix)
  {
    for (const std::string type : {"Fourier", "attention", "DeepONet"})
      {
        const auto        net = small_operator(type, 2);
        const std::string weights =
          type == "Fourier" ? "projection|convolution_1|pointwise_0" : "all";
        const auto full = fitted(net, {{"form", "full"}, {"weights", weights}});
        const long P    = full.weights().size();
        const auto H    = brute_force(net, full);
        const double size = H.abs().max().item<double>();
        EXPECT_LT(distance(full.curvature().curvature_product(identity(P)), H),
                  1e-11 * size)
          << type;

        const auto diagonal =
          fitted(net,
                 {{"form", "diagonal"}, {"weights", weights}, {"draws", 0}});
        EXPECT_LT(distance(diagonal.curvature().curvature_product(identity(P)),
                           torch::diag(H.diagonal())),
                  1e-11 * size)
          << type;

        const auto complete =
          fitted(net,
                 {{"form", "low rank"}, {"weights", weights}, {"rank", P}});
        EXPECT_LT(distance(complete.curvature().curvature_product(identity(P)),
                           H),
                  1e-10 * size)
          << type;

        // Of a few eigenpairs the best ones.
        const long rank = 5;
        const auto low =
          fitted(net,
                 {{"form", "low rank"}, {"weights", weights}, {"rank", rank}});
        const auto found =
          std::get<0>(
            at::linalg_eigh(low.curvature().curvature_product(identity(P))))
            .slice(0, P - rank);
        const auto wanted = std::get<0>(at::linalg_eigh(H)).slice(0, P - rank);
        EXPECT_LT(((found - wanted) / wanted).abs().max().item<double>(), 1e-3)
          << type;
      }
  }



  // The mean over many draws, within six of its standard deviations: of all
  // that is summed, squares of Gaussian-like numbers have the variance 2 h².
  TEST(LaplaceApproximation, DrawsHaveTheDiagonalInTheMean)
  {
    const auto net = small_operator("Fourier", 2);
    const auto exact =
      fitted(net,
             {{"form", "diagonal"}, {"draws", 0}, {"weights", "projection"}});
    const long P = exact.weights().size();
    const long n = 400;
    const auto random =
      fitted(net,
             {{"form", "diagonal"}, {"draws", n}, {"weights", "projection"}});
    const auto ones  = torch::ones({P, 1}, torch::kFloat64);
    const auto ratio = random.curvature().curvature_product(ones) /
                       exact.curvature().curvature_product(ones);
    EXPECT_LT((ratio - 1.).abs().max().item<double>(), 6. * std::sqrt(2. / n));
    EXPECT_GT((ratio - 1.).abs().max().item<double>(), 1e-6);
    EXPECT_NEAR(ratio.mean().item<double>(), 1., 2. * std::sqrt(2. / n));
  }



  // Each form against a dense matrix that it says it is.
  TEST(LaplaceApproximation, InverseRootAndEvidence)
  {
    const auto net = small_operator("Fourier", 2);
    for (const std::string form : {"full", "diagonal", "Kronecker", "low rank"})
      for (const std::string prior : {"one", "per layer", "per tensor"})
        {
          auto       laplace = fitted(net,
                                {{"form", form},
                                       {"weights", "projection|convolution_1"},
                                       {"prior", prior}});
          const long groups  = laplace.prior_precision().size(0);
          EXPECT_EQ(groups, prior == "one" ? 1 : prior == "per layer" ? 3 : 5);
          const auto   delta = random_uniform({groups}, 0.5, 3., 604);
          const double s2    = 0.3;
          laplace.set_scales(delta, s2);

          const auto &weights   = laplace.weights();
          const auto &curvature = laplace.curvature();
          const long  P         = weights.size();
          const auto  numbers   = weights.groups(
            prior == "one"       ? WeightSelection::Groups::one :
            prior == "per layer" ? WeightSelection::Groups::per_layer :
                                   WeightSelection::Groups::per_tensor);
          std::vector<torch::Tensor> precisions;
          for (std::size_t i = 0; i < numbers.size(); ++i)
            precisions.push_back(delta[numbers[i]].expand(
              {weights.parts()[i].end - weights.parts()[i].begin}));
          const auto D = torch::cat(precisions);
          const auto precision =
            curvature.curvature_product(identity(P)) / s2 + torch::diag(D);
          const auto Sigma = at::linalg_inv(precision);
          EXPECT_LT(distance(curvature.multiply(identity(P)), Sigma), 1e-8);
          EXPECT_LT(distance(curvature.variances(), Sigma.diagonal()), 1e-8);
          const auto R = curvature.multiply_root(identity(P));
          EXPECT_LT(distance(torch::mm(R, R.t()), Sigma), 1e-8);

          const double log_det =
            std::get<1>(at::linalg_slogdet(precision)).item<double>();
          EXPECT_NEAR(curvature.log_determinant(),
                      log_det,
                      1e-9 * std::abs(log_det));

          const auto residual =
            (laplace.mean(net.data) - net.data.target).square();
          const auto sigma2 =
            laplace.noise_variance().reshape({1, -1, 1, 1}).expand_as(residual);
          const double evidence =
            -0.5 *
            ((residual / sigma2 + (2. * M_PI * sigma2).log())
               .sum()
               .item<double>() -
             D.log().sum().item<double>() +
             (D * weights.values().square()).sum().item<double>() + log_det);
          EXPECT_NEAR(laplace.log_evidence(),
                      evidence,
                      1e-8 * std::abs(evidence))
            << form << ", " << prior;

          // Its derivatives are difference quotients in the logarithms.
          const auto   gradient = laplace.log_evidence_gradient();
          const double step     = 1e-4;
          for (long g = 0; g <= groups; ++g)
            {
              const auto at = [&](const double t) {
                auto changed = delta.clone();
                if (g < groups)
                  changed[g] *= std::exp(t);
                laplace.set_scales(changed,
                                   g == groups ? s2 * std::exp(t) : s2);
                return laplace.log_evidence();
              };
              const double derivative = gradient[g].item<double>();
              EXPECT_NEAR((at(step) - at(-step)) / (2. * step),
                          derivative,
                          1e-5 * (1. + std::abs(derivative)))
                << form << ", " << prior << ", " << g;
            }
        }
  }



  TEST(LaplaceApproximation, EvidenceIsAtItsLargest)
  {
    const auto net = small_operator("attention", 3);
    for (const std::string form : {"full", "diagonal", "Kronecker", "low rank"})
      {
        auto         laplace = fitted(net,
                              {{"form", form},
                                       {"weights", "lifting|projection"},
                                       {"prior", "per layer"}});
        const double before  = laplace.log_evidence();
        laplace.maximize_evidence();
        const double best = laplace.log_evidence();
        EXPECT_GT(best, before) << form;
        EXPECT_LT(laplace.log_evidence_gradient().abs().max().item<double>(),
                  1e-5)
          << form;
        const auto   delta = laplace.prior_precision().clone();
        const double s2    = laplace.noise_factor();
        for (long g = 0; g <= delta.size(0); ++g)
          for (const double factor : {0.1, 0.9, 1.1, 10.})
            {
              auto changed = delta.clone();
              if (g < delta.size(0))
                changed[g] *= factor;
              laplace.set_scales(changed,
                                 g == delta.size(0) ? s2 * factor : s2);
              EXPECT_LT(laplace.log_evidence(), best) << form << g;
            }
      }
  }



  /** J Σ Jᵀ at all values of all samples, from dense matrices. */
  torch::Tensor
  dense_covariance(const SmallOperator &net, const Laplace &laplace)
  {
    const auto J = jacobian(net, laplace.weights());
    return torch::mm(
      torch::mm(J, laplace.curvature().multiply(identity(J.size(1)))), J.t());
  }



  TEST(LaplaceApproximation, PredictionsAreThoseOfTheLinearisedNetwork)
  {
    for (const std::string type : {"Fourier", "attention", "DeepONet"})
      for (const std::string form :
           {"full", "diagonal", "Kronecker", "low rank"})
        {
          const auto   net     = small_operator(type, 2);
          const auto   laplace = fitted(net,
                                      {{"form", form},
                                         {"weights", "trunk.layer_1|projection"},
                                         {"closed form", false}});
          const auto   C       = dense_covariance(net, laplace);
          const double size    = C.abs().max().item<double>();
          EXPECT_TRUE(
            torch::equal(laplace.mean(net.data), net.model->forward(net.data)));
          EXPECT_LT(distance(laplace.variance(net.data).flatten(),
                             C.diagonal()),
                    1e-10 * size)
            << type << form;

          // between values of different samples as well
          const auto numbers = torch::tensor({3, 41, 79}, torch::kInt64);
          EXPECT_LT(
            distance(laplace.covariance(net.data, numbers),
                     C.index_select(0, numbers).index_select(1, numbers)),
            1e-10 * size)
            << type << form;

          const auto F = laplace.covariance_factor(net.data, 1000);
          for (long i = 0; i < 2; ++i)
            EXPECT_LT(distance(torch::mm(F[i], F[i].t()),
                               C.slice(0, 40 * i, 40 * (i + 1))
                                 .slice(1, 40 * i, 40 * (i + 1))),
                      1e-10 * size)
              << type << form;
        }
  }



  TEST(LaplaceApproximation, FactorsOfLowRankLeaveVarianceAwayAndAddNone)
  {
    const auto net      = small_operator("Fourier", 1);
    const auto laplace  = fitted(net, {{"form", "full"}, {"weights", "all"}});
    const auto C        = dense_covariance(net, laplace);
    const auto spectrum = std::get<0>(at::linalg_eigh(C));
    double     before   = 0.;
    for (const long rank : {2, 10, 39, 40})
      {
        const auto F = laplace.covariance_factor(net.data, rank);
        ASSERT_EQ(F.sizes(), (std::vector<std::int64_t>{1, 40, rank}));
        const auto rest = C - torch::mm(F[0], F[0].t());
        const auto left = std::get<0>(at::linalg_eigh(rest));
        EXPECT_GT(left.min().item<double>(),
                  -1e-9 * spectrum[-1].item<double>());
        // at most a half more than what the best factor leaves
        const double best =
          spectrum.slice(0, 0, 40 - rank).clamp_min(0.).sum().item<double>();
        EXPECT_LT(left.sum().item<double>(),
                  1.5 * best + 1e-9 * spectrum[-1].item<double>())
          << rank;
        const double explained = F.square().sum().item<double>();
        EXPECT_GT(explained, before);
        before = explained;
      }
  }



  TEST(LaplaceApproximation, DrawsHaveTheCovariance)
  {
    const auto net = small_operator("DeepONet", 2);
    const auto laplace =
      fitted(net, {{"form", "Kronecker"}, {"weights", "all"}});
    const auto C     = dense_covariance(net, laplace);
    const long n     = 3000;
    const auto draws = laplace.sample(net.data, n, 5);
    ASSERT_EQ(draws.sizes(), (std::vector<std::int64_t>{n, 2, 2, 4, 5}));
    const auto centered = (draws - laplace.mean(net.data)).flatten(1);
    const auto found    = torch::mm(centered.t(), centered) / double(n);
    // Var of an entry is (C_ii C_jj + C_ij²)/n; samples share their draws.
    const auto d = C.diagonal();
    const auto deviation =
      ((torch::outer(d, d) + C.square()) / double(n)).sqrt();
    EXPECT_LT(((found - C) / deviation).abs().max().item<double>(), 6.);
    EXPECT_NEAR(((found - C) / deviation).square().mean().item<double>(),
                1.,
                0.9);
    EXPECT_TRUE(
      torch::equal(draws.slice(0, 0, 3), laplace.sample(net.data, 3, 5)));
    EXPECT_GT(distance(draws.slice(0, 0, 3), laplace.sample(net.data, 3, 6)),
              1e-3);
    EXPECT_LT(distance(laplace.sampled_variance(net.data, 3, 5),
                       centered.slice(0, 0, 3).square().mean(0).reshape(
                         net.data.target.sizes())),
              1e-10);
  }



  // What needs no product of the Jacobian against what is made of them.
  TEST(LaplaceApproximation, ClosedFormsOfLastLayers)
  {
    const auto compare = [](const SmallOperator  &net,
                            const nlohmann::json &parameters,
                            const bool            expected) {
      auto without           = parameters;
      without["closed form"] = false;
      auto fast = fitted(net, parameters), slow = fitted(net, without);
      EXPECT_EQ(fast.has_closed_form(), expected) << parameters;
      EXPECT_FALSE(slow.has_closed_form());
      if (!expected)
        return;
      fast.maximize_evidence();
      slow.maximize_evidence();
      auto other         = net.data;
      other.input.fields = random_normal(other.input.fields.sizes().vec(), 605);
      const auto wanted  = slow.variance(other);
      const auto found   = fast.predict(other);
      EXPECT_LT(distance(found.variance, wanted),
                1e-10 * wanted.abs().max().item<double>())
        << parameters;
      EXPECT_LT(distance(found.mean, slow.mean(other)), 1e-12);
    };
    for (const std::string type : {"Fourier", "attention"})
      for (const std::string form :
           {"full", "diagonal", "Kronecker", "low rank"})
        for (const std::string prior : {"one", "per tensor"})
          compare(small_operator(type, 2),
                  {{"form", form}, {"prior", prior}},
                  true);
    for (const std::string weights : {"convolution_1",
                                      "convolution_1|projection_out",
                                      "projection_out.bias"})
      for (const bool mixing : {true, false})
        {
          compare(small_operator("Fourier", 2, {{"mixing layers", mixing}}),
                  {{"weights", weights}},
                  true);
          compare(small_operator("Fourier",
                                 2,
                                 {{"mixing layers", mixing}, {"padding", 0.}}),
                  {{"weights", weights}},
                  true);
        }

    // Behind these something is not pointwise.
    compare(small_operator("Fourier", 2),
            {{"weights", "convolution_0"}},
            false);
    compare(small_operator("Fourier", 2), {{"weights", "lifting"}}, false);
    compare(small_operator("Fourier", 2),
            {{"weights", "projection_in"}},
            false);
    compare(small_operator("DeepONet", 2), {{"form", "full"}}, false);
  }



  // Factors that need no product of the Jacobian against the covariance.
  TEST(LaplaceApproximation, ClosedFormsOfFactors)
  {
    for (const auto &parameters : std::vector<nlohmann::json>{
           {{"form", "full"}},
           {{"form", "low rank"}},
           {{"form", "Kronecker"}, {"draws", 3}},
           {{"form", "full"}, {"weights", "projection_out.bias"}},
           {{"form", "full"}, {"weights", "projection_out.weight"}},
           {{"form", "Kronecker"}, {"weights", "convolution_1"}}})
      {
        const auto   net      = small_operator("Fourier", 2);
        const auto   laplace  = fitted(net, parameters);
        const auto   C        = dense_covariance(net, laplace);
        const double size     = C.abs().max().item<double>();
        const auto   variance = laplace.predict(net.data).variance.flatten(1);
        ASSERT_TRUE(laplace.has_closed_form()) << parameters;
        for (const long rank : {1, 3, 9, 40, 1000})
          {
            const auto answer = laplace.predict(net.data, rank);
            EXPECT_LT(distance(answer.variance.flatten(1), variance),
                      1e-12 * size);
            const auto F = answer.factor.flatten(1, -2);
            EXPECT_LE(F.size(2), rank);
            EXPECT_TRUE(
              torch::equal(F, laplace.covariance_factor(net.data, rank)));
            for (long i = 0; i < 2; ++i)
              {
                const auto exact = C.slice(0, 40 * i, 40 * (i + 1))
                                     .slice(1, 40 * i, 40 * (i + 1));
                const auto spectrum = std::get<0>(at::linalg_eigh(exact));
                const auto rest     = exact - torch::mm(F[i], F[i].t());
                EXPECT_GT(
                  std::get<0>(at::linalg_eigh(rest)).min().item<double>(),
                  -1e-9 * size)
                  << parameters << rank;
                const double best =
                  spectrum.slice(0, 0, std::max(0l, 40 - rank))
                    .clamp_min(0.)
                    .sum()
                    .item<double>();
                EXPECT_LT(rest.trace().item<double>(), 1.5 * best + 1e-9 * size)
                  << parameters << rank;
              }
          }
      }
  }



  // Of many points some say which directions are wanted.
  TEST(LaplaceApproximation, ClosedFormsOfFactorsOnFineGrids)
  {
    const auto   net     = small_operator("Fourier", 2);
    const auto   laplace = fitted(net, {{"form", "full"}});
    OperatorData fine;
    fine.input.fields = random_normal({1, 2, 26, 27}, 608).cumsum(3) / 3.;
    const auto all    = laplace.covariance_factor(fine, 1000)[0];
    ASSERT_EQ(all.size(1), 26);
    EXPECT_LT(distance(laplace.variance(fine).flatten(), all.square().sum(1)),
              1e-11);
    const auto spectrum = std::get<0>(at::linalg_eigh(torch::mm(all.t(), all)));
    for (const long rank : {1, 4, 12})
      {
        const auto F = laplace.covariance_factor(fine, rank)[0];
        // All of its columns are among those of all, with less.
        const auto inner = torch::mm(all.t(), F);
        const auto W     = at::linalg_solve(torch::mm(all.t(), all), inner);
        EXPECT_LT(distance(torch::mm(all, W), F), 1e-8);
        EXPECT_LT(distance(torch::mm(W.t(), W),
                           torch::eye(rank, torch::kFloat64)),
                  1e-6);
        const double best =
          spectrum.slice(0, 0, 26 - rank).sum().item<double>();
        const double left =
          (all.square().sum() - F.square().sum()).item<double>();
        EXPECT_LT(left, 1.5 * best) << rank;
      }
  }



  // In single precision they are what they are in double precision.
  TEST(LaplaceApproximation, ClosedFormsInSinglePrecision)
  {
    for (const std::string weights : {"last layer", "convolution_1"})
      {
        const auto net    = small_operator("Fourier", 2);
        const auto exact  = fitted(net, {{"weights", weights}});
        const auto wanted = exact.predict(net.data, 3);
        auto       single = net;
        single.model->to(torch::kFloat32);
        single.data = net.data.to(torch::kFloat32);
        ASSERT_EQ(single.model->forward(single.data).scalar_type(),
                  torch::kFloat32);
        const auto laplace = fitted(single, {{"weights", weights}});
        EXPECT_TRUE(laplace.has_closed_form());
        const auto found = laplace.predict(single.data, 3);
        EXPECT_EQ(found.variance.scalar_type(), torch::kFloat32);
        EXPECT_EQ(found.factor.scalar_type(), torch::kFloat32);
        EXPECT_LT(distance(found.variance.to(torch::kFloat64), wanted.variance),
                  1e-3 * wanted.variance.max().item<double>());
      }
  }



  // Grids that are too coarse for some of the modes.
  TEST(LaplaceApproximation, ClosedFormsOnOtherGrids)
  {
    const auto net  = small_operator("Fourier", 2);
    const auto fast = fitted(net, {{"weights", "convolution_1"}});
    const auto slow =
      fitted(net, {{"weights", "convolution_1"}, {"closed form", false}});
    for (const std::vector<std::int64_t> &sizes :
         std::vector<std::vector<std::int64_t>>{{3, 3}, {9, 7}})
      {
        OperatorData other;
        other.input.fields = random_normal({1, 2, sizes[0], sizes[1]}, 606);
        const auto wanted  = slow.variance(other);
        EXPECT_LT(distance(fast.variance(other), wanted),
                  1e-10 * wanted.abs().max().item<double>());
      }
  }



  TEST(LaplaceApproximation, MaskedValuesDoNotCount)
  {
    auto net            = small_operator("attention", 2);
    net.data.input.mask = random_normal({2, 4, 5}, 607) > -0.5;
    auto other          = net;
    other.data.target   = net.data.target.masked_fill(
      net.data.input.mask.logical_not().unsqueeze(1), NAN);
    const auto a = fitted(net, {{"form", "full"}});
    const auto b = fitted(other, {{"form", "full"}});
    EXPECT_EQ(a.log_evidence(), b.log_evidence());
    EXPECT_TRUE(std::isfinite(a.log_evidence()));
    EXPECT_TRUE(torch::equal(a.variance(net.data), b.variance(other.data)));
    EXPECT_TRUE((a.variance(net.data).masked_select(
                   net.data.input.mask.logical_not().unsqueeze(1)) == 0.)
                  .all()
                  .item<bool>());

    // What is not counted is as if it were masked.
    Laplace    c(net.model, Laplace::parse({{"form", "full"}}, "test"), "test");
    const auto count = net.data.input.mask.unsqueeze(1).to(torch::kFloat64);
    c.fit(net.data, count);
    EXPECT_EQ(a.log_evidence(), c.log_evidence());
    c.fit(net.data, count * torch::tensor({1., 0.}).reshape({2, 1, 1}));
    EXPECT_GT(std::abs(a.log_evidence() - c.log_evidence()), 1.);
  }



  // Training mode draws random numbers, and is the mode again afterwards.
  TEST(LaplaceApproximation, ModesOfTheModelAreKept)
  {
    auto net = small_operator("attention", 2, {{"dropout", 0.5}});
    net.model->train();
    const auto laplace = fitted(net, {{"weights", "all"}, {"form", "full"}});
    EXPECT_TRUE(net.model->is_training());
    EXPECT_TRUE(
      torch::equal(laplace.variance(net.data), laplace.variance(net.data)));
    EXPECT_TRUE(torch::equal(laplace.mean(net.data), laplace.mean(net.data)));
    EXPECT_TRUE(net.model->is_training());
  }



  TEST(LaplaceApproximation, MistakesAreExplained)
  {
    const auto net  = small_operator("Fourier", 2);
    const auto make = [&](const nlohmann::json &parameters) {
      return Laplace(net.model,
                     Laplace::parse(parameters, "model.json"),
                     "model.json");
    };
    expect_sentence(message_of<InputError>([&]() {
                      make({{"form", "dense"}});
                    }),
                    {"model.json", "form", "dense", "low rank"});
    expect_sentence(message_of<InputError>([&]() {
                      make({{"prior", "two"}});
                    }),
                    {"model.json", "prior", "per layer"});
    expect_sentence(message_of<InputError>([&]() {
                      make({{"rank", 0}});
                    }),
                    {"model.json", "rank", "0"});
    auto laplace = make({{"form", "full"}});
    expect_sentence(message_of<InputError>(
                      [&]() { laplace.variance(net.data); }),
                    {"model.json", "fit()"});
    auto data   = net.data;
    data.target = torch::Tensor();
    expect_sentence(message_of<InputError>([&]() { laplace.fit(data); }),
                    {"model.json", "targets"});
    expect_sentence(message_of<InputError>(
                      [&]() { laplace.fit(net.data, torch::zeros({1})); }),
                    {"model.json", "count"});
    laplace.fit(net.data);
    expect_sentence(message_of<InputError>([&]() {
                      laplace.set_scales(torch::zeros({1}, torch::kFloat64),
                                         1.);
                    }),
                    {"model.json", "prior precision"});
    expect_sentence(message_of<InputError>(
                      [&]() { laplace.covariance_factor(net.data, 0); }),
                    {"model.json", "rank", "0"});
  }



  TEST(LaplaceApproximation, FilesKeepEveryBit)
  {
    const TemporaryFolder folder;
    for (const std::string form : {"full", "diagonal", "Kronecker", "low rank"})
      {
        const auto net     = small_operator("Fourier", 2);
        auto       laplace = fitted(net,
                              {{"form", form},
                                     {"weights", "projection_out|convolution_1"},
                                     {"prior", "per layer"}});
        laplace.maximize_evidence();
        ModelFile file;
        net.model->save(file);
        laplace.save(file);
        file.write(folder / form);

        const auto read  = ModelFile::read(folder / form);
        const auto other = Laplace::load(read, OperatorModel::load(read));
        EXPECT_EQ(other.log_evidence(), laplace.log_evidence()) << form;
        EXPECT_EQ(other.has_closed_form(), form == "Kronecker");
        EXPECT_TRUE(
          torch::equal(other.variance(net.data), laplace.variance(net.data)))
          << form;
        EXPECT_TRUE(torch::equal(other.sample(net.data, 2, 3),
                                 laplace.sample(net.data, 2, 3)))
          << form;
        EXPECT_TRUE(torch::equal(other.log_evidence_gradient(),
                                 laplace.log_evidence_gradient()))
          << form;
      }
  }



  TEST(LaplaceApproximation, WrongFilesAreExplained)
  {
    for (const std::string form : {"full", "diagonal", "Kronecker", "low rank"})
      {
        const auto net = small_operator("Fourier", 1);
        const auto laplace =
          fitted(net,
                 {{"form", form}, {"weights", "projection_out|convolution_1"}});
        ModelFile file;
        laplace.save(file);
        file.filename = "model.safetensors";

        auto spoiled = file;
        spoiled.metadata["laplace"].erase("parameters");
        expect_sentence(message_of<FileError>(
                          [&]() { Laplace::load(spoiled, net.model); }),
                        {"model.safetensors", "not complete"});
        for (const auto &item : file.tensors)
          {
            spoiled = file;
            spoiled.tensors.erase(item.first);
            expect_sentence(message_of<FileError>(
                              [&]() { Laplace::load(spoiled, net.model); }),
                            {"model.safetensors"});
            spoiled.tensors[item.first] =
              torch::zeros({7, 7, 7, 7, 7}, torch::kFloat64);
            expect_sentence(message_of<FileError>(
                              [&]() { Laplace::load(spoiled, net.model); }),
                            {"model.safetensors"});
          }
        // another operator
        const auto other = small_operator("Fourier", 1, {{"width", 4}});
        expect_sentence(message_of<FileError>(
                          [&]() { Laplace::load(file, other.model); }),
                        {"model.safetensors"});
      }
  }


  // A thousand samples one by one, and all of them together, beside the
  // formula.
  TEST(LaplaceUpdate, OneByOneIsAllAtOnce)
  {
    constexpr long n = 1000;
    const auto     parameters =
      nlohmann::json{{"form", "full"}, {"weights", "last layer"}};
    const auto more = small_operator("Fourier", n).data;
    auto       slow = small_operator("Fourier", 12),
         fast       = small_operator("Fourier", 12);
    for (const auto &item : slow.model->named_parameters())
      ASSERT_TRUE(
        torch::equal(item.value(), fast.model->named_parameters()[item.key()]));
    auto one_by_one = fitted(slow, parameters),
         at_once    = fitted(fast, parameters);
    // (the values that do not count change nothing)
    auto counted = torch::ones({1, 2, 4, 5}, torch::kFloat64);
    counted.select(3, 2).fill_(0.);

    // Σ⁻¹ and w by dense Jacobians, before the weights change
    const auto w      = at_once.weights().values();
    const auto H      = brute_force(fast, at_once);
    const auto noise  = at_once.noise_factor();
    const auto ratios = at_once.noise_variance() / noise;
    const auto J      = jacobian({fast.model, more}, at_once.weights());
    const auto W      = (counted / ratios.reshape({1, -1, 1, 1}))
                     .expand_as(more.target)
                     .reshape({-1, 1});
    const auto error =
      (more.target - fast.model->forward(more).detach()).reshape({-1, 1});
    const auto precision =
      identity(w.size(0)) + (H + torch::mm(J.t(), W * J)) / noise;
    const auto expected =
      w + torch::mm(torch::inverse(precision), torch::mm(J.t(), W * error))
              .squeeze(1) /
            noise;
    EXPECT_GT(distance(expected, w), 1e-2);

    at_once.update(more, counted);
    for (long i = 0; i < n; ++i)
      one_by_one.update(more.slice(i, i + 1), counted);
    EXPECT_LT(distance(at_once.weights().values(), expected), 1e-8);
    EXPECT_LT(distance(one_by_one.weights().values(), expected), 1e-8);
    const auto covariance = torch::inverse(precision);
    EXPECT_LT(distance(at_once.curvature().multiply(identity(w.size(0))),
                       covariance),
              1e-8 * covariance.abs().max().item<double>());
    EXPECT_LT(distance(one_by_one.curvature().multiply(identity(w.size(0))),
                       covariance),
              1e-8 * covariance.abs().max().item<double>());
    // and so are the answers
    const auto fresh = small_operator("Fourier", 3).data;
    const auto a = one_by_one.predict(fresh), b = at_once.predict(fresh);
    EXPECT_LT(distance(a.mean, b.mean), 1e-8);
    EXPECT_LT(distance(a.variance, b.variance), 1e-8);
  }



  TEST(LaplaceUpdate, OtherFormsSaySo)
  {
    const auto net = small_operator("Fourier", 6);
    auto       diagonal =
      fitted(net, {{"form", "diagonal"}, {"weights", "last layer"}});
    const auto before = diagonal.weights().values();
    expect_sentence(message_of<InputError>(
                      [&]() { diagonal.update(net.data); }),
                    {"test", "form", "diagonal", "full"});
    EXPECT_TRUE(torch::equal(diagonal.weights().values(), before));
  }
} // namespace
