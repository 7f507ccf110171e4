// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/operators/deep_onet.h>
#include <neuraldeal/surrogates/operators/point_fields.h>

#include <cmath>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    std::vector<ParameterDescription>
    descriptions(const bool has_trunk)
    {
      const BranchOperator::Parameters  defaults;
      std::vector<ParameterDescription> result = {
        {"sensors",
         defaults.sensors,
         0,
         1e9,
         "Number of points that the fields are given at; has to be set."},
        {"basis",
         defaults.basis,
         1,
         65536,
         "Number of functions that the output is made of."},
        {"width", defaults.width, 1, 65536, "Features of a hidden layer."},
        {"branch layers",
         defaults.branch_layers,
         0,
         100,
         "Hidden layers between fields and coefficients; none for operators "
         "that are linear."},
        {"activation",
         "GELU",
         0,
         0,
         "Activation between the layers: GELU or tanh."},
        {"members",
         defaults.members,
         1,
         256,
         "Number of operators side by side."},
        {"shared trunk",
         defaults.shared_trunk,
         0,
         1,
         "Whether members differ by the last layers of their networks only."}};
      if (has_trunk)
        result.push_back({"trunk layers",
                          defaults.trunk_layers,
                          0,
                          100,
                          "Hidden layers between coordinates and functions."});
      return result;
    }

    BranchOperator::Parameters
    parameters_of(const nlohmann::json &given, const std::string &name)
    {
      BranchOperator::Parameters parameters;
      parameters.sensors       = given["sensors"];
      parameters.basis         = given["basis"];
      parameters.width         = given["width"];
      parameters.branch_layers = given["branch layers"];
      parameters.trunk_layers =
        given.value("trunk layers", parameters.trunk_layers);
      parameters.activation   = activation_by_name(given["activation"], name);
      parameters.members      = given["members"];
      parameters.shared_trunk = given["shared trunk"];
      return parameters;
    }

    /** Zeros, [out, 1]; of several members [members, out, 1]. */
    torch::Tensor
    first_bias(const OperatorShape              &shape,
               const BranchOperator::Parameters &parameters)
    {
      return parameters.members > 1 ?
               torch::zeros({parameters.members, shape.out_channels, 1}) :
               torch::zeros({shape.out_channels, 1});
    }
  } // namespace



  BranchOperator::BranchOperator(const std::string   &name,
                                 const OperatorShape &shape,
                                 const Parameters    &parameters)
    : name(name)
    , shape(shape)
    , settings(parameters)
  {
    if (parameters.sensors < 1)
      throw InputError(name,
                       "sensors",
                       std::to_string(parameters.sensors),
                       "the number of points that the fields are given at");
    branch = register_module(
      "branch",
      std::make_shared<FeatureNetwork>(shape.in_channels * parameters.sensors,
                                       parameters.basis,
                                       parameters.width,
                                       parameters.branch_layers,
                                       parameters.activation,
                                       true,
                                       parameters.members,
                                       parameters.shared_trunk));
  }



  torch::Tensor
  BranchOperator::coefficients(const torch::Tensor &fields)
  {
    check_fields(fields, shape, name);
    const auto values = fields.flatten(1);
    if (values.size(1) != shape.in_channels * settings.sensors)
      throw InputError(name,
                       "the shape of the fields",
                       shape_of(fields),
                       fmt::format("[n, {}, …] with {} points, one a sensor",
                                   shape.in_channels,
                                   settings.sensors));
    return branch->forward(values, true);
  }



  void
  BranchOperator::check_mask(const OperatorInput &input) const
  {
    if (input.mask.defined())
      throw InputError(name,
                       "the shape of the mask",
                       shape_of(input.mask),
                       "no mask at all, since its sensors are fixed");
  }



  DeepONet::DeepONet(const OperatorShape &shape, const Parameters &parameters)
    : BranchOperator("DeepONet", shape, parameters)
    , trunk(register_module(
        "trunk",
        std::make_shared<FeatureNetwork>(shape.dim,
                                         parameters.basis * shape.out_channels,
                                         parameters.width,
                                         parameters.trunk_layers,
                                         parameters.activation,
                                         true,
                                         parameters.members,
                                         parameters.shared_trunk)))
    , bias(register_parameter("bias", first_bias(shape, parameters)))
  {}



  torch::Tensor
  DeepONet::forward(const OperatorInput &input)
  {
    check_mask(input);
    const auto beta =
      coefficients(input.fields) / std::sqrt(double(settings.basis)); // [n, r]
    const long n = beta.size(-2), members = settings.members;

    const OutputPoints output(input, shape, beta.options(), name);

    // [Q, r·out] → [r, out·Q], and the same for each sample and member
    const bool is_shared = output.coordinates.dim() == 2;
    const long n_bases   = members * (is_shared ? 1 : n);
    const auto phi =
      trunk->forward(output.coordinates, true)
        .reshape({n_bases, -1, settings.basis, shape.out_channels})
        .permute({0, 2, 3, 1})
        .reshape({n_bases, settings.basis, -1});
    torch::Tensor sum;
    if (n_bases == 1)
      sum = torch::mm(beta.reshape({n, -1}), phi[0]);
    else
      sum = torch::bmm(beta.reshape({n_bases, -1, settings.basis}), phi);

    auto result_shape = output.field_shape;
    if (members == 1)
      return (sum.reshape({n, shape.out_channels, -1}) + bias)
        .reshape(result_shape);
    result_shape.insert(result_shape.begin(), members);
    return (sum.reshape({members, n, shape.out_channels, -1}) +
            bias.unsqueeze(1))
      .reshape(result_shape);
  }



  void
  DeepONet::register_type()
  {
    static const OperatorRegistry::Registration registration(
      "DeepONet",
      "Deep operator network, from fixed sensors to any points.",
      descriptions(true),
      [](const OperatorShape &shape, const nlohmann::json &given) {
        return std::make_shared<DeepONet>(shape,
                                          parameters_of(given, "DeepONet"));
      });
  }



  PODDeepONet::PODDeepONet(const OperatorShape &shape,
                           const Parameters    &parameters)
    : BranchOperator("POD DeepONet", shape, parameters)
    , mean(
        register_buffer("mean",
                        torch::full({shape.out_channels, parameters.sensors},
                                    std::numeric_limits<double>::quiet_NaN())))
    , modes(register_buffer("modes",
                            torch::zeros({parameters.basis,
                                          shape.out_channels,
                                          parameters.sensors})))
  {}



  void
  PODDeepONet::set_basis(const torch::Tensor &new_mean,
                         const torch::Tensor &new_modes)
  {
    torch::NoGradGuard no_gradients;
    const auto         set = [this](torch::Tensor       &buffer,
                            const torch::Tensor &values,
                            const std::string   &what,
                            const long           n_leading) {
      const auto leading = buffer.sizes().slice(0, n_leading);
      if (!values.defined() || values.dim() <= n_leading ||
          values.sizes().slice(0, n_leading) != leading ||
          values.numel() != buffer.numel())
        throw InputError(name,
                         "the shape of the " + what,
                         shape_of(values),
                         shape_of(buffer));
      if (!values.isfinite().all().item<bool>())
        throw InputError(name, what, "not finite", "finite numbers");
      buffer.copy_(values.reshape(buffer.sizes()));
    };
    set(modes, new_modes, "modes", 2);
    set(mean, new_mean, "mean", 1);
    has_basis = true;
  }



  void
  PODDeepONet::look_at_outputs(const torch::Tensor &outputs)
  {
    const torch::NoGradGuard no_gradients;
    const auto rows   = outputs.flatten(1).to(torch::kCPU, torch::kFloat64);
    const auto center = rows.mean(0);
    const auto svd    = at::linalg_svd(rows - center, false);
    const auto scaled = std::get<2>(svd) * std::get<1>(svd).unsqueeze(1) /
                        std::sqrt(double(rows.size(0)));
    auto basis = torch::zeros({settings.basis, rows.size(1)}, torch::kFloat64);
    const long n = std::min<long>(settings.basis, scaled.size(0));
    basis.slice(0, 0, n).copy_(scaled.slice(0, 0, n));
    auto shape_of_modes = outputs.sizes().vec();
    shape_of_modes[0]   = settings.basis;
    set_basis(center.reshape(outputs.sizes().slice(1)),
              basis.reshape(shape_of_modes));
  }



  torch::Tensor
  PODDeepONet::compose(const torch::Tensor &coefficients) const
  {
    auto result_shape   = coefficients.sizes().vec();
    result_shape.back() = shape.out_channels;
    result_shape.push_back(settings.sensors);
    return torch::addmm(mean.flatten(),
                        coefficients.reshape({-1, settings.basis}),
                        modes.flatten(1))
      .reshape(result_shape);
  }



  torch::Tensor
  PODDeepONet::forward(const OperatorInput &input)
  {
    check_mask(input);
    // Looked at once: the buffers may come from a file, and on a device every
    // look is a wait.
    if (!has_basis && mean.isnan().any().item<bool>())
      throw InputError(name,
                       "the basis",
                       "not set",
                       "what set_basis() is given before the first forward()");
    has_basis = true;

    const auto beta = coefficients(input.fields);
    if (input.points.defined())
      {
        check_points(input.points, beta.size(-2), shape, name);
        if (input.points.size(-2) != settings.sensors)
          throw InputError(name,
                           "the shape of the points",
                           shape_of(input.points),
                           fmt::format("those of its {} sensors",
                                       settings.sensors));
      }
    auto result_shape = input.fields.sizes().vec();
    result_shape[1]   = shape.out_channels;
    if (settings.members > 1)
      result_shape.insert(result_shape.begin(), settings.members);
    return compose(beta).reshape(result_shape);
  }



  void
  PODDeepONet::register_type()
  {
    static const OperatorRegistry::Registration registration(
      "POD DeepONet",
      "Deep operator network on given modes, at fixed sensors.",
      descriptions(false),
      [](const OperatorShape &shape, const nlohmann::json &given) {
        return std::make_shared<PODDeepONet>(shape,
                                             parameters_of(given,
                                                           "POD DeepONet"));
      });
  }
} // namespace neuraldeal
