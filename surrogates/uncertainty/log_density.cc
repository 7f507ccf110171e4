// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/log_density.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <string>

namespace neuraldeal
{
  namespace
  {
    constexpr double log_two_pi = 1.8378770664093454836;

    [[noreturn]] void
    fail_shape(const std::string   &source,
               const std::string   &entry,
               const torch::Tensor &found,
               const std::string   &valid)
    {
      throw InputError(source,
                       "the shape of " + entry,
                       c10::str(found.sizes()),
                       valid);
    }



    /** Whether two tensors may meet in a sum that has the shape of @p full. */
    bool
    expands_to(const torch::Tensor &tensor, const torch::Tensor &full)
    {
      if (tensor.dim() > full.dim())
        return false;
      for (std::int64_t i = 1; i <= tensor.dim(); ++i)
        if (tensor.size(-i) != 1 && tensor.size(-i) != full.size(-i))
          return false;
      return true;
    }



    void
    check_positive(const std::string   &source,
                   const std::string   &entry,
                   const torch::Tensor &values)
    {
      // (What is not a number is not positive either.)
      if (!(values > 0.).all().item<bool>() ||
          !torch::isfinite(values).all().item<bool>())
        throw InputError(source,
                         entry,
                         fmt::format("{}", values.min().item<double>()),
                         "a finite number above zero");
    }



    /** Number of entries of all tensors together. */
    std::int64_t
    n_entries(const std::vector<torch::Tensor> &weights)
    {
      std::int64_t result = 0;
      for (const auto &tensor : weights)
        result += tensor.numel();
      return result;
    }



    /**
     * The value of a function that has been recorded as @p result. Where it is
     * not finite there is no need for a backward pass.
     */
    double
    value_of(const torch::Tensor &result)
    {
      if (result.numel() != 1)
        fail_shape("the log density", "its value", result, "one entry");
      return result.item<double>();
    }



    torch::Tensor
    flattened(const torch::Tensor &tensor)
    {
      return tensor.detach().to(torch::kCPU, torch::kFloat64).reshape({-1});
    }
  } // namespace



  LogDensity
  differentiated(
    const std::function<torch::Tensor(const torch::Tensor &)> &function)
  {
    return [function](const torch::Tensor &x) -> LogDensityValue {
      const torch::AutoGradMode recording(true);
      const auto leaf   = x.detach().clone().set_requires_grad(true);
      const auto result = function(leaf);
      const auto value  = value_of(result);
      if (!std::isfinite(value))
        return {value, torch::Tensor()};
      // A function that does not depend on its argument is flat.
      if (!result.requires_grad())
        return {value, torch::zeros_like(x)};
      const auto gradient = torch::autograd::grad(
        {result.sum()}, {leaf}, {}, false, false, true)[0];
      return {value, gradient.defined() ? gradient : torch::zeros_like(x)};
    };
  }



  LogDensity
  density_of_weights(const std::vector<torch::Tensor>     &weights,
                     const std::function<torch::Tensor()> &function)
  {
    return [weights, function](const torch::Tensor &x) -> LogDensityValue {
      set_flat_weights(weights, x);
      const torch::AutoGradMode recording(true);
      const auto                result = function();
      const auto                value  = value_of(result);
      if (!std::isfinite(value))
        return {value, torch::Tensor()};
      if (!result.requires_grad())
        return {value, torch::zeros_like(x)};
      auto gradients =
        torch::autograd::grad({result.sum()}, weights, {}, false, false, true);
      for (std::size_t i = 0; i < weights.size(); ++i)
        gradients[i] =
          flattened(gradients[i].defined() ? gradients[i] :
                                             torch::zeros_like(weights[i]));
      return {value, torch::cat(gradients)};
    };
  }



  torch::Tensor
  flat_weights(const std::vector<torch::Tensor> &weights)
  {
    std::vector<torch::Tensor> parts;
    for (const auto &tensor : weights)
      parts.push_back(flattened(tensor));
    return parts.empty() ? torch::empty({0}, torch::kFloat64) :
                           torch::cat(parts);
  }



  void
  set_flat_weights(const std::vector<torch::Tensor> &weights,
                   const torch::Tensor              &flat)
  {
    if (flat.dim() != 1 || flat.size(0) != n_entries(weights))
      fail_shape("the log density",
                 "the vector of weights",
                 flat,
                 fmt::format("[{}]", n_entries(weights)));
    const torch::NoGradGuard no_gradients;
    std::int64_t             begin = 0;
    for (auto tensor : weights)
      {
        const auto end = begin + tensor.numel();
        tensor.copy_(flat.slice(0, begin, end).reshape(tensor.sizes()));
        begin = end;
      }
  }



  LogDensity
  last_layer_posterior(const torch::Tensor &features,
                       const torch::Tensor &outputs,
                       const double         prior_precision,
                       const double         noise_variance)
  {
    const std::string source = "the posterior of a last layer";
    if (features.dim() != 2)
      fail_shape(source, "its features", features, "[n, p]");
    if (outputs.dim() != 1 || outputs.size(0) != features.size(0))
      fail_shape(source,
                 "its outputs",
                 outputs,
                 fmt::format("[{}], a row of the features each",
                             features.size(0)));
    const auto scalar = [](const double value) {
      return torch::full({}, value, torch::kFloat64);
    };
    check_positive(source, "the prior precision", scalar(prior_precision));
    check_positive(source, "the noise variance", scalar(noise_variance));

    const auto   phi = features.detach().to(torch::kFloat64).contiguous();
    const auto   y   = outputs.detach().to(torch::kFloat64).contiguous();
    const double constant =
      0.5 * (double(phi.size(1)) * std::log(prior_precision) -
             double(phi.size(0)) * std::log(noise_variance) -
             double(phi.size(0) + phi.size(1)) * log_two_pi);

    return [=](const torch::Tensor &w) -> LogDensityValue {
      if (w.sizes() != phi[0].sizes())
        fail_shape(source,
                   "the vector of weights",
                   w,
                   fmt::format("[{}]", phi.size(1)));
      const torch::NoGradGuard no_gradients;
      const auto               residual = y - torch::mv(phi, w);
      const double             value =
        constant -
        0.5 * (residual.dot(residual).item<double>() / noise_variance +
               prior_precision * w.dot(w).item<double>());
      return {value,
              torch::mv(phi.t(), residual) / noise_variance -
                prior_precision * w};
    };
  }



  LogDensity
  network_posterior(
    const std::function<torch::Tensor(const torch::Tensor &)> &forward,
    const torch::Tensor                                       &outputs,
    const torch::Tensor                                       &prior_precision,
    const torch::Tensor                                       &noise_variance)
  {
    const std::string source = "the posterior of a network";
    if (prior_precision.numel() != 1 && prior_precision.dim() != 1)
      fail_shape(source,
                 "the prior precision",
                 prior_precision,
                 "one entry, or [p]");
    if (!expands_to(noise_variance, outputs))
      fail_shape(source,
                 "the noise variance",
                 noise_variance,
                 "one that expands to " + c10::str(outputs.sizes()) +
                   ", that of the outputs");
    check_positive(source, "the prior precision", prior_precision);
    check_positive(source, "the noise variance", noise_variance);

    const auto y     = outputs.detach();
    const auto delta = prior_precision.detach();
    const auto sigma = noise_variance.detach().to(y.device());
    // −½ log(2π σ²) of all outputs.
    const double constant =
      -0.5 * ((sigma.log() + log_two_pi).expand_as(y).sum().item<double>());

    return differentiated([=](const torch::Tensor &w) {
      if (delta.numel() != 1 && delta.numel() != w.numel())
        fail_shape(source,
                   "the prior precision",
                   delta,
                   fmt::format("[{}], an entry each weight", w.numel()));
      const auto prediction = forward(w);
      if (prediction.sizes() != y.sizes())
        fail_shape(source,
                   "the network's outputs",
                   prediction,
                   c10::str(y.sizes()) + ", that of the data");
      const auto likelihood =
        -0.5 * ((prediction - y).square() / sigma).sum() + constant;
      const auto precision = delta.to(w.options()).reshape({-1}).expand_as(w);
      const auto prior =
        0.5 * (precision.log() - precision * w.square() - log_two_pi).sum();
      return likelihood.to(prior.options()) + prior;
    });
  }
} // namespace neuraldeal
