// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <c10/core/impl/LocalDispatchKeySet.h>
#include <neuraldeal/surrogates/operators/neural_ode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace neuraldeal
{
  namespace
  {
    using torch::autograd::AutogradContext;
    using torch::autograd::variable_list;

    /** What forward and backward integration have to know in common. */
    struct Problem : torch::CustomClassHolder
    {
      std::shared_ptr<VectorField> field;
      std::vector<double>          times;
      DormandPrince::Parameters    parameters;
      std::string                  source;
      DormandPrince::Course        course; ///< forward
    };



    std::vector<torch::Tensor>
    trained_weights(const VectorField &field)
    {
      std::vector<torch::Tensor> result;
      for (const auto &weight : field.parameters())
        if (weight.requires_grad())
          result.push_back(weight);
      return result;
    }



    torch::Tensor
    flatten(const std::vector<torch::Tensor> &tensors,
            const torch::TensorOptions       &options)
    {
      std::vector<torch::Tensor> result;
      for (const auto &tensor : tensors)
        result.push_back(tensor.reshape({-1}).to(options));
      return result.empty() ? torch::zeros({0}, options) : torch::cat(result);
    }



    torch::Tensor
    forward_states(Problem             &problem,
                   const torch::Tensor &start,
                   const torch::Tensor &context)
    {
      // Whatever had been asked for outside.
      const c10::impl::ExcludeDispatchKeyGuard no_autocast(
        c10::autocast_dispatch_keyset);
      const auto f = [&](const torch::Tensor &z, const double t) {
        return problem.field->forward(z, t, context);
      };
      problem.course = {};
      return torch::stack(
        DormandPrince(problem.parameters, problem.source)
          .integrate(f, start, 0., problem.times, problem.course),
        1);
    }



    /** The state of the adjoint equation, one after the other in a vector. */
    struct AdjointState
    {
      AdjointState(const long n, const long k, const long m, const long p)
        : sizes({n * k, n * k, n * m, p})
        , n(n)
      {}

      /** z, a and g_c as [n, …], g_θ. */
      std::vector<torch::Tensor>
      split(const torch::Tensor &all) const
      {
        auto parts = all.split_with_sizes(sizes);
        for (int i = 0; i < 3; ++i)
          parts[i] = parts[i].reshape({n, sizes[i] / n});
        return parts;
      }

      const std::vector<std::int64_t> sizes;
      const long                      n;
    };



    class AdjointFunction : public torch::autograd::Function<AdjointFunction>
    {
    public:
      /** @param weights all of θ in one vector, so that autograd sees it. */
      static torch::Tensor
      forward(AutogradContext                   *saved,
              const torch::Tensor               &start,
              const torch::Tensor               &context,
              const torch::Tensor               &weights,
              const c10::intrusive_ptr<Problem> &problem)
      {
        (void)weights;
        const auto states = forward_states(*problem, start, context);
        saved->save_for_backward({states, context});
        saved->saved_data["problem"] = c10::IValue::make_capsule(problem);
        return states;
      }



      static variable_list
      backward(AutogradContext *saved, variable_list outer)
      {
        // Recording is on here if the gradient is to be differentiated.
        if (torch::GradMode::is_enabled())
          throw std::runtime_error(
            "adjoint gradients of an ODE have no derivatives themselves; use "
            "the gradients by steps.");
        const c10::impl::ExcludeDispatchKeyGuard no_autocast(
          c10::autocast_dispatch_keyset);
        const auto  capsule = saved->saved_data["problem"].toCapsule();
        const auto &problem = static_cast<const Problem &>(*capsule);
        const auto  tensors = saved->get_saved_variables();
        const auto &states = tensors[0], &context = tensors[1];
        const auto  weights   = trained_weights(*problem.field);
        const auto  options   = states.options();
        long        n_weights = 0;
        for (const auto &weight : weights)
          n_weights += weight.numel();
        const AdjointState layout(states.size(0),
                                  states.size(2),
                                  context.size(1),
                                  n_weights);

        // The largest entry becomes one. With none but zeros, or with what is
        // not a number, any unit will do.
        double unit = outer[0].abs().max().item<double>();
        if (!(unit > 0.) || !std::isfinite(unit))
          unit = 1.;
        const auto inner = outer[0] / unit;

        const auto slope = [&](const torch::Tensor &all, const double t) {
          const auto parts     = layout.split(all);
          const auto z         = parts[0].detach().requires_grad_(true),
                     c         = context.detach().requires_grad_(true);
          variable_list inputs = {z, c};
          inputs.insert(inputs.end(), weights.begin(), weights.end());

          const torch::AutoGradMode recording(true);
          const auto                value    = problem.field->forward(z, t, c);
          auto                      products = value.requires_grad() ?
                                                 torch::autograd::grad(
                              {value}, inputs, {parts[1]}, false, false, true) :
                                                 variable_list(inputs.size());
          const torch::NoGradGuard  no_gradients;
          variable_list             slopes = {value.detach().reshape({-1})};
          for (std::size_t i = 0; i < inputs.size(); ++i)
            slopes.push_back(products[i].defined() ?
                               products[i].to(options).reshape({-1}).neg() :
                               torch::zeros({inputs[i].numel()}, options));
          return torch::cat(slopes);
        };
        const auto norm = [&](const torch::Tensor &errors) {
          return errors.slice(0, 0, 2 * layout.sizes[0])
            .reshape({2 * layout.n, -1})
            .square()
            .mean(1)
            .max()
            .sqrt();
        };

        const DormandPrince   method(problem.parameters,
                                   problem.source + ", adjoint",
                                   norm);
        DormandPrince::Course course;
        auto                  all =
          torch::zeros({2 * layout.sizes[0] + layout.sizes[2] + n_weights},
                       options);
        for (long i = long(problem.times.size()) - 1; i >= 0; --i)
          {
            const auto z     = states.select(1, i);
            const auto parts = layout.split(all);
            parts[0].copy_(z);
            // What is not a number is to be so at once: see integrate().
            parts[1].add_(inner.select(1, i)).masked_fill_(z.isnan(), NAN);
            all = method
                    .integrate(slope,
                               all,
                               problem.times[i],
                               {i > 0 ? problem.times[i - 1] : 0.},
                               course)[0]
                    .clone();
          }
        const auto parts = layout.split(all * unit);
        return {parts[1], parts[2], parts[3], torch::Tensor()};
      }
    };
  } // namespace



  torch::Tensor
  solve_neural_ode(const std::shared_ptr<VectorField> &field,
                   const torch::Tensor                &start,
                   const torch::Tensor                &context,
                   const std::vector<double>          &times,
                   const DormandPrince::Parameters    &parameters,
                   const ODEGradients                  gradients,
                   const std::string                  &source,
                   DormandPrince::Course              *course)
  {
    auto problem        = c10::make_intrusive<Problem>();
    problem->field      = field;
    problem->times      = times;
    problem->parameters = parameters;
    problem->source     = source;

    const auto type =
      torch::promote_types(start.scalar_type(), torch::kFloat32);
    auto z = start.to(type), c = context.to(type);
    // The whole sample, or its other entries would be taken for inaccurate.
    const auto broken =
      torch::cat({z, c}, 1).detach().isfinite().all(1, true).logical_not();
    z = z.masked_fill(broken, std::numeric_limits<double>::quiet_NaN());

    const auto result =
      gradients == ODEGradients::steps ?
        forward_states(*problem, z, c) :
        AdjointFunction::apply(z,
                               c,
                               flatten(trained_weights(*field), z.options()),
                               problem);
    if (course != nullptr)
      *course = problem->course;
    return result;
  }
} // namespace neuraldeal
