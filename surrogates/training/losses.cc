// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/training/losses.h>

#include <limits>

namespace neuraldeal
{
  namespace
  {
    torch::Tensor
    at_least_single(const torch::Tensor &values)
    {
      return values.defined() && values.is_floating_point() ?
               values.to(
                 torch::promote_types(values.scalar_type(), torch::kFloat32)) :
               values;
    }



    void
    check_shape(const torch::Tensor             &prediction,
                const std::vector<std::int64_t> &expected)
    {
      if (prediction.sizes() != at::IntArrayRef(expected))
        throw InputError("the program",
                         "the shape of a prediction",
                         c10::str(prediction.sizes()),
                         c10::str(at::IntArrayRef(expected),
                                  ", from that of the target"));
    }



    /** max(‖t‖, δ) of every sample, [n]; see RelativeNorm. */
    torch::Tensor
    reference(const SquaredNorm   &norm,
              const double         floor,
              const torch::Tensor &target)
    {
      const auto squares = norm(target.detach());
      const auto floored =
        torch::maximum(squares, floor * floor * squares.mean());
      return root(floored.masked_fill(
        floored <= double(std::numeric_limits<float>::min()), 1.));
    }



    /** ‖x_i‖ of every member and sample, [m, n, c, …] → [m, n]. */
    torch::Tensor
    member_norms(const SquaredNorm &norm, const torch::Tensor &members)
    {
      return root(norm(members.flatten(0, 1)))
        .reshape({members.size(0), members.size(1)});
    }



    /** 1/(m (m − 1)) Σ_ij ‖x_i − x_j‖ of every sample, [n]. */
    torch::Tensor
    mean_distance(const SquaredNorm &norm, const torch::Tensor &members)
    {
      const long m = members.size(0);
      if (m < 2)
        throw InputError("the program",
                         "the number of members of an ensemble",
                         std::to_string(m),
                         "two or more");
      // Every pair once: the double sum has it twice.
      torch::Tensor sum;
      for (long i = 0; i + 1 < m; ++i)
        {
          const auto distances =
            member_norms(norm, members.slice(0, i + 1) - members[i]).sum(0);
          sum = sum.defined() ? sum + distances : distances;
        }
      return sum * (2. / double(m * (m - 1)));
    }
  } // namespace



  torch::Tensor
  Loss::value(const torch::Tensor &prediction,
              const torch::Tensor &target,
              const torch::Tensor &input) const
  {
    if (prediction.numel() == 0)
      throw InputError("the program",
                       "the shape of a prediction",
                       c10::str(prediction.sizes()),
                       "one with values in it");
    if (target.defined() && target.dim() < 2)
      throw InputError("the program",
                       "the shape of a target",
                       c10::str(target.sizes()),
                       "[n, channels, …]");
    return compute(at_least_single(prediction),
                   at_least_single(target),
                   at_least_single(input));
  }



  RelativeNorm::RelativeNorm(const SquaredNorm &norm, const double floor)
    : norm(norm)
    , floor(floor)
  {}



  torch::Tensor
  RelativeNorm::compute(const torch::Tensor &prediction,
                        const torch::Tensor &target,
                        const torch::Tensor &) const
  {
    check_shape(prediction, target.sizes().vec());
    return (root(norm(prediction - target)) / reference(norm, floor, target))
      .mean();
  }



  GaussianLikelihood::GaussianLikelihood(const double bound, const double beta)
    : bound(bound)
    , beta(beta)
  {}



  torch::Tensor
  GaussianLikelihood::log_variance(const torch::Tensor &r) const
  {
    return bound * torch::tanh(r / bound);
  }



  torch::Tensor
  GaussianLikelihood::compute(const torch::Tensor &prediction,
                              const torch::Tensor &target,
                              const torch::Tensor &) const
  {
    auto shape = target.sizes().vec();
    shape.at(1) *= 2;
    check_shape(prediction, shape);
    const auto parts = prediction.chunk(2, 1);
    const auto s     = log_variance(parts[1]);
    const auto terms = s + (target - parts[0]).square() * torch::exp(-s);
    if (beta == 0.)
      return 0.5 * terms.mean();
    return 0.5 * (terms * torch::exp(beta * s.detach())).mean();
  }



  EnergyScore::EnergyScore(const SquaredNorm &norm, const double floor)
    : norm(norm)
    , floor(floor)
  {}



  torch::Tensor
  EnergyScore::compute(const torch::Tensor &prediction,
                       const torch::Tensor &target,
                       const torch::Tensor &) const
  {
    auto shape = target.sizes().vec();
    shape.insert(shape.begin(), prediction.size(0));
    check_shape(prediction, shape);
    const auto score = member_norms(norm, prediction - target).mean(0) -
                       0.5 * mean_distance(norm, prediction);
    return (score / reference(norm, floor, target)).mean();
  }



  EnsembleLoss::EnsembleLoss(const std::shared_ptr<const Loss> &loss,
                             const SquaredNorm                 &norm,
                             const double                       diversity,
                             const double                       floor)
    : loss(loss)
    , norm(norm)
    , diversity(diversity)
    , floor(floor)
  {}



  torch::Tensor
  EnsembleLoss::compute(const torch::Tensor &prediction,
                        const torch::Tensor &target,
                        const torch::Tensor &input) const
  {
    torch::Tensor sum;
    for (const auto &member : prediction.unbind())
      {
        const auto value = loss->value(member, target, input);
        sum              = sum.defined() ? sum + value : value;
      }
    const auto mean = sum / double(prediction.size(0));
    if (diversity == 0.)
      return mean;
    // Each is one of the m that it is compared with.
    const double share = 1. - 1. / double(prediction.size(0));
    const auto   distances =
      mean_distance(norm, prediction) / reference(norm, floor, target);
    return mean - diversity * share * distances.mean();
  }



  ResidualLoss::ResidualLoss(const Residual &residual)
    : residual(residual)
  {}



  torch::Tensor
  ResidualLoss::compute(const torch::Tensor &prediction,
                        const torch::Tensor &,
                        const torch::Tensor &input) const
  {
    if (!input.defined())
      throw InputError("the program",
                       "the input of a residual",
                       "not given",
                       "the tensor that the prediction was made from");
    return residual(prediction, input).square().mean();
  }



  LossMix::LossMix(const Terms &terms)
    : terms(terms)
  {
    if (terms.empty())
      throw InputError("the program",
                       "a mix of losses",
                       "empty",
                       "one or more");
  }



  torch::Tensor
  LossMix::compute(const torch::Tensor &prediction,
                   const torch::Tensor &target,
                   const torch::Tensor &input) const
  {
    torch::Tensor sum;
    for (const auto &[weight, loss] : terms)
      {
        const auto term = weight * loss->value(prediction, target, input);
        sum             = sum.defined() ? sum + term : term;
      }
    return sum;
  }



  namespace
  {
    const ParameterDescription floor_description = {
      "floor",
      1e-3,
      0.,
      1.,
      "Targets with a norm below this fraction of the batch's root mean square "
      "count as if they had that one."};

    const ParameterDescription gradient_weight =
      {"gradient weight", 1., 0., 1e30, "What the gradient part counts."};



    SquaredNorm
    l2_norm(const LossContext &context, const std::string &source)
    {
      return context.mass.defined() ?
               quadratic_form(context.mass, source, "the mass matrix") :
               mean_square();
    }



    SquaredNorm
    h1_norm(const LossContext    &context,
            const nlohmann::json &given,
            const std::string    &source)
    {
      const double weight = given["gradient weight"];
      if (!context.mass.defined() && !context.stiffness.defined())
        return grid_h1(weight, given["periodic"], context.spacing, source);
      return sum(quadratic_form(context.mass, source, "the mass matrix"),
                 weight,
                 quadratic_form(context.stiffness,
                                source,
                                "the stiffness matrix"));
    }



    std::shared_ptr<Loss>
    make_mix(const LossContext    &context,
             const nlohmann::json &given,
             const std::string    &source)
    {
      static const std::vector<ParameterDescription> entries = {
        {"type", "", 0., 0., "The name of a loss."},
        {"weight", 1., 0., 1e30, "What its value is multiplied by."},
        {"parameters", nlohmann::json::object(), 0., 0., "Those of the loss."}};

      LossMix::Terms terms;
      for (const auto &term : given["terms"])
        {
          const auto place = fmt::format("{}, term {}", source, terms.size());
          if (!term.is_object())
            throw InputError(place,
                             "the term",
                             term.dump(),
                             "an object with type, weight and parameters");
          const auto complete = complete_parameters(entries, term, place);
          terms.emplace_back(complete["weight"],
                             make_loss(complete["type"],
                                       complete["parameters"],
                                       place,
                                       context));
        }
      if (terms.empty())
        throw InputError(source, "terms", "[]", "an array of losses");
      return std::make_shared<LossMix>(terms);
    }
  } // namespace



  void
  register_losses()
  {
    static const LossRegistry::Registration l2(
      "relative L2",
      "The relative error in the L2 norm.",
      {floor_description},
      [](const LossContext    &context,
         const nlohmann::json &given,
         const std::string    &source) {
        return std::make_shared<RelativeNorm>(l2_norm(context, source),
                                              given["floor"]);
      });

    static const LossRegistry::Registration h1(
      "relative H1",
      "The relative error of values and gradients.",
      {gradient_weight,
       {"periodic",
        false,
        0.,
        1.,
        "Whether grids are: the first point follows the last one."},
       floor_description},
      [](const LossContext    &context,
         const nlohmann::json &given,
         const std::string    &source) {
        return std::make_shared<RelativeNorm>(h1_norm(context, given, source),
                                              given["floor"]);
      });

    static const LossRegistry::Registration energy(
      "relative energy",
      "The relative error in the energy norm of the stiffness matrix.",
      {floor_description},
      [](const LossContext    &context,
         const nlohmann::json &given,
         const std::string    &source) {
        return std::make_shared<RelativeNorm>(
          quadratic_form(context.stiffness, source, "the stiffness matrix"),
          given["floor"]);
      });

    static const LossRegistry::Registration likelihood(
      "Gaussian likelihood",
      "The negative log likelihood of Gaussians with predicted mean and "
      "variance.",
      {{"bound",
        20.,
        1.,
        60., // its exponential is a number in single precision
        "The log of the variance stays between plus and minus this."},
       {"beta",
        0.,
        0.,
        1.,
        "Power of the predicted variance by which errors are weighted."}},
      [](const LossContext &,
         const nlohmann::json &given,
         const std::string &) {
        return std::make_shared<GaussianLikelihood>(given["bound"],
                                                    given["beta"]);
      });

    static const LossRegistry::Registration score(
      "energy score",
      "The fair energy score of several predictions, relative in the L2 norm.",
      {floor_description},
      [](const LossContext    &context,
         const nlohmann::json &given,
         const std::string    &source) {
        return std::make_shared<EnergyScore>(l2_norm(context, source),
                                             given["floor"]);
      });

    static const LossRegistry::Registration residual(
      "residual",
      "The mean square of the residual that the program gives.",
      {},
      [](const LossContext &context,
         const nlohmann::json &,
         const std::string &source) {
        if (!context.residual)
          throw InputError(source,
                           "the residual",
                           "not given",
                           "a function of prediction and input in the loss's "
                           "context");
        return std::make_shared<ResidualLoss>(context.residual);
      });

    static const LossRegistry::Registration mix(
      "mix",
      "The weighted sum of several losses.",
      {{"terms",
        nlohmann::json::array(),
        0.,
        0.,
        "An array of objects with type, weight and parameters."}},
      make_mix);
  }



  std::shared_ptr<Loss>
  make_loss(const std::string    &type,
            const nlohmann::json &parameters,
            const std::string    &source,
            const LossContext    &context)
  {
    register_losses();
    const auto &entry = LossRegistry::find(source, "loss", type);
    return entry.factory(context,
                         complete_parameters(entry.parameters,
                                             parameters,
                                             source),
                         source);
  }
} // namespace neuraldeal
