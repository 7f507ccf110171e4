// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/acquisition/feasibility_model.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace neuraldeal
{
  namespace
  {
    /** Newton's steps at most; ten are usual. */
    constexpr int max_steps = 100;



    /**
     * −Σ t log p + (1 − t) log(1 − p) with p = 1/(1 + exp(−(a f + b))), which
     * is convex in a and b.
     */
    double
    cost(const torch::Tensor &f,
         const torch::Tensor &target,
         const double         a,
         const double         b)
    {
      const auto z = a * f + b;
      // log(1 + exp(z)) − t z without overflow
      return (z.clamp_min(0.) + torch::log1p((-z.abs()).exp()) - target * z)
        .sum()
        .item<double>();
    }



    /** b alone where @p a is zero: p is the mean of the targets. */
    double
    constant_offset(const torch::Tensor &target)
    {
      const double p = target.mean().item<double>();
      return std::log(p / (1. - p));
    }



    /** The a ≥ 0 and b with the smallest cost(), by Newton's method. */
    std::pair<double, double>
    calibrated(const torch::Tensor &f, const torch::Tensor &target)
    {
      double a = 0., b = constant_offset(target), last = cost(f, target, a, b);
      for (int step = 0; step < max_steps; ++step)
        {
          const auto   p        = torch::sigmoid(a * f + b);
          const auto   residual = p - target, w = p * (1. - p);
          const double g_a         = (residual * f).sum().item<double>(),
                       g_b         = residual.sum().item<double>();
          const double h_aa        = (w * f * f).sum().item<double>() + 1e-12,
                       h_ab        = (w * f).sum().item<double>(),
                       h_bb        = w.sum().item<double>() + 1e-12;
          const double determinant = h_aa * h_bb - h_ab * h_ab;
          if (!(determinant > 0.))
            break;
          const double d_a = -(h_bb * g_a - h_ab * g_b) / determinant,
                       d_b = -(h_aa * g_b - h_ab * g_a) / determinant;
          double size = 1., next = cost(f, target, a + d_a, b + d_b);
          while (!(next <= last) && size > 1e-10)
            {
              size *= 0.5;
              next = cost(f, target, a + size * d_a, b + size * d_b);
            }
          if (!(next <= last))
            break;
          a += size * d_a;
          b += size * d_b;
          const double gain = last - next;
          last              = next;
          if (gain <= 1e-13 * (1. + last))
            break;
        }
      // The cost is convex: where its minimum has a < 0, that over a ≥ 0 is on
      // the border. The regression has learned nothing then.
      if (!(a > 0.))
        return {0., constant_offset(target)};
      return {a, b};
    }
  } // namespace



  std::vector<ParameterDescription>
  FeasibilityModel::parameters()
  {
    return {{"kernel",
             "Matern 5/2",
             0.,
             0.,
             "Of the regression: " + CovarianceKernel::shapes() + "."}};
  }



  FeasibilityModel::FeasibilityModel(const nlohmann::json &given,
                                     const std::string    &source)
  {
    kernel = complete_parameters(parameters(), given, source)["kernel"];
    try
      {
        CovarianceKernel({1}, kernel);
      }
    catch (const InputError &error)
      {
        throw InputError(source, error);
      }
  }



  void
  FeasibilityModel::fit(const torch::Tensor &inputs,
                        const torch::Tensor &succeeded)
  {
    if (inputs.dim() != 2)
      throw InputError("the program",
                       "the shape of the feasibility model's inputs",
                       c10::str(inputs.sizes()),
                       "[n, d]");
    const long n = inputs.size(0), d = inputs.size(1);
    if (succeeded.dim() != 1 || succeeded.size(0) != n ||
        succeeded.scalar_type() != torch::kBool)
      throw InputError("the program",
                       "what the feasibility model is told of success",
                       c10::str(succeeded.sizes()) + " " +
                         c10::toString(succeeded.scalar_type()),
                       fmt::format("[{}] Bool", n));
    const auto label  = succeeded.to(torch::kCPU, torch::kFloat64);
    const auto n_plus = label.sum().item<double>(), n_minus = n - n_plus;

    regression.reset();
    slope        = 0.;
    offset       = std::log((n_plus + 1.) / (n_minus + 1.));
    standardized = StandardizedInputs(inputs, "feasibility model");
    if (n_plus == 0. || n_minus == 0.)
      return;

    const auto places = standardized(inputs);
    auto       y      = 2. * label - 1.;
    mean              = y.mean().item<double>();
    y                 = (y - mean).unsqueeze(1);

    regression.emplace(CovarianceKernel(std::vector<long>(d, 1), kernel));
    // Outcomes are mostly noise: the search starts where some of it is.
    auto start = regression->hyperparameters();
    start[-1]  = std::log(0.1);
    regression->set_hyperparameters(start);
    regression->maximize_evidence(places, y);
    regression->add(places, y);
    auto f = torch::empty({n}, torch::kFloat64);
    for (long i = 0; i < n; ++i)
      f[i] = mean + regression->leave_out(i, i + 1).mean[0][0];

    const auto target =
      torch::where(label > 0.5,
                   torch::full_like(label, (n_plus + 1.) / (n_plus + 2.)),
                   torch::full_like(label, 1. / (n_minus + 2.)));
    std::tie(slope, offset) = calibrated(f, target);
  }



  torch::Tensor
  FeasibilityModel::probability(const torch::Tensor &inputs) const
  {
    const auto x = standardized(inputs);
    const auto f = regression ? mean + regression->predict(x).squeeze(1) :
                                torch::zeros({x.size(0)}, torch::kFloat64);
    return torch::sigmoid(slope * f + offset);
  }
} // namespace neuraldeal
