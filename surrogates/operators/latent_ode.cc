// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/latent_ode.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

#include <cmath>

namespace neuraldeal
{
  namespace
  {
    constexpr auto name_of_type = "latent ODE";

    /** The encoder gives latent state and context side by side. */
    BranchOperator::Parameters
    encoder_parameters(const LatentODE::Parameters &parameters)
    {
      auto result  = parameters.networks;
      result.basis = parameters.latent + parameters.context;
      return result;
    }



    std::vector<double>
    times_of(const nlohmann::json &given)
    {
      std::vector<double> result;
      for (const auto &time : given)
        if (time.is_number())
          result.push_back(time);
        else
          throw InputError(name_of_type, "times", given.dump(), "numbers");
      return result;
    }



    std::vector<ParameterDescription>
    descriptions()
    {
      const LatentODE::Parameters defaults;
      const auto                  layers = [](const std::string &name,
                             const long         default_value,
                             const std::string &text) {
        return ParameterDescription{name, default_value, 0, 100, text};
      };
      return {
        {"sensors",
         defaults.networks.sensors,
         0,
         1e9,
         "Number of points that the fields are given at; has to be set."},
        {"times",
         defaults.times,
         0,
         0,
         "When the field is wanted, an output channel each; ascending, in the "
         "unit of the program."},
        {"latent", defaults.latent, 1, 4096, "Number of latent variables."},
        {"context",
         defaults.context,
         0,
         4096,
         "Number of constants in the latent equation that are read from the "
         "fields."},
        {"basis",
         defaults.networks.basis,
         1,
         65536,
         "Number of functions that the output is made of."},
        {"width",
         defaults.networks.width,
         1,
         65536,
         "Features of a hidden layer, in all networks."},
        layers("branch layers",
               defaults.networks.branch_layers,
               "Hidden layers between fields and latent variables."),
        layers("field layers",
               defaults.field_layers,
               "Hidden layers of the right-hand side of the latent equation; "
               "none for an affine one."),
        layers("decoder layers",
               defaults.decoder_layers,
               "Hidden layers between latent variables and coefficients."),
        layers("trunk layers",
               defaults.networks.trunk_layers,
               "Hidden layers between coordinates and functions."),
        {"activation",
         "GELU",
         0,
         0,
         "Activation between the layers: GELU or tanh."},
        {"gradients",
         "adjoint",
         0,
         0,
         "How the latent equation is differentiated: adjoint, in memory that "
         "does not depend on the number of steps, or steps, through each of "
         "them."},
        {"relative tolerance",
         defaults.integration.relative_tolerance,
         1e-14,
         1.,
         "Of a step of the latent equation."},
        {"absolute tolerance",
         defaults.integration.absolute_tolerance,
         1e-14,
         1.,
         "The same, for latent variables near zero."},
        {"maximal steps",
         defaults.integration.max_steps,
         1,
         1e9,
         "Steps of the latent equation after which it is given up."}};
    }



    LatentODE::Parameters
    parameters_of(const nlohmann::json &given)
    {
      LatentODE::Parameters result;
      result.networks.sensors       = given["sensors"];
      result.networks.basis         = given["basis"];
      result.networks.width         = given["width"];
      result.networks.branch_layers = given["branch layers"];
      result.networks.trunk_layers  = given["trunk layers"];
      result.networks.activation =
        activation_by_name(given["activation"], name_of_type);
      result.times                          = times_of(given["times"]);
      result.latent                         = given["latent"];
      result.context                        = given["context"];
      result.field_layers                   = given["field layers"];
      result.decoder_layers                 = given["decoder layers"];
      result.integration.relative_tolerance = given["relative tolerance"];
      result.integration.absolute_tolerance = given["absolute tolerance"];
      result.integration.max_steps          = given["maximal steps"];
      const std::string gradients           = given["gradients"];
      check_choice(name_of_type, "gradients", gradients, {"adjoint", "steps"});
      result.gradients =
        gradients == "adjoint" ? ODEGradients::adjoint : ODEGradients::steps;
      return result;
    }
  } // namespace



  LatentField::LatentField(const long       n_states,
                           const long       n_context,
                           const long       width,
                           const long       n_hidden_layers,
                           const Activation activation)
    : network(register_module("network",
                              std::make_shared<FeatureNetwork>(n_states +
                                                                 n_context + 1,
                                                               n_states,
                                                               width,
                                                               n_hidden_layers,
                                                               activation)))
  {}



  torch::Tensor
  LatentField::forward(const torch::Tensor &z,
                       const double         t,
                       const torch::Tensor &context)
  {
    return network->forward(
      torch::cat({z, context, torch::full({z.size(0), 1}, t, z.options())}, 1));
  }



  LatentODE::LatentODE(const OperatorShape &shape, const Parameters &parameters)
    : BranchOperator(name_of_type, shape, encoder_parameters(parameters))
    , chosen(parameters)
    , bias(register_parameter("bias", torch::zeros({1})))
  {
    const auto &times    = parameters.times;
    bool        is_valid = long(times.size()) == shape.out_channels &&
                    !times.empty() && times.front() >= 0. && times.back() > 0.;
    for (std::size_t i = 0; i < times.size() && is_valid; ++i)
      is_valid = std::isfinite(times[i]) && (i == 0 || times[i] > times[i - 1]);
    if (!is_valid)
      throw InputError(name,
                       "times",
                       nlohmann::json(times).dump(),
                       std::to_string(shape.out_channels) +
                         " ascending numbers from zero on, one for each "
                         "channel of the output");
    for (const double time : times)
      scaled_times.push_back(time / times.back());

    const auto &networks = parameters.networks;
    field =
      register_module("field",
                      std::make_shared<LatentField>(parameters.latent,
                                                    parameters.context,
                                                    networks.width,
                                                    parameters.field_layers,
                                                    networks.activation));
    decoder = register_module(
      "decoder",
      std::make_shared<FeatureNetwork>(parameters.latent,
                                       networks.basis,
                                       networks.width,
                                       parameters.decoder_layers,
                                       networks.activation));
    trunk =
      register_module("trunk",
                      std::make_shared<FeatureNetwork>(shape.dim,
                                                       networks.basis,
                                                       networks.width,
                                                       networks.trunk_layers,
                                                       networks.activation));
  }



  torch::Tensor
  LatentODE::latent_states(const torch::Tensor   &fields,
                           DormandPrince::Course *course)
  {
    const auto encoded = coefficients(fields);
    return solve_neural_ode(field,
                            encoded.slice(1, 0, chosen.latent),
                            encoded.slice(1, chosen.latent),
                            scaled_times,
                            chosen.integration,
                            chosen.gradients,
                            name,
                            course);
  }



  torch::Tensor
  LatentODE::forward(const OperatorInput &input)
  {
    check_mask(input);
    const auto beta = decoder->forward(latent_states(input.fields)) /
                      std::sqrt(double(chosen.networks.basis)); // [n, T, r]
    const OutputPoints output(input, shape, input.fields.options(), name);
    const auto         phi = trunk->forward(output.coordinates);
    return (torch::matmul(beta, phi.transpose(-2, -1)) + bias)
      .reshape(output.field_shape);
  }



  void
  LatentODE::register_type()
  {
    static const OperatorRegistry::Registration registration(
      name_of_type,
      "Neural ordinary differential equation between fixed sensors and any "
      "points, for fields at several times.",
      descriptions(),
      [](const OperatorShape &shape, const nlohmann::json &given) {
        return std::make_shared<LatentODE>(shape, parameters_of(given));
      });
  }
} // namespace neuraldeal
