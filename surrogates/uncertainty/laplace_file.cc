// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/laplace.h>

#include <stdexcept>

namespace neuraldeal
{
  namespace
  {
    const std::string prefix = "laplace.", matrix_prefix = "laplace.matrix.";
  } // namespace



  void
  LaplaceApproximation::save(ModelFile &file) const
  {
    check_fitted();
    file.metadata["laplace"] = {{"parameters",
                                 {{"form", parameters.form},
                                  {"weights", parameters.weights},
                                  {"prior", parameters.prior},
                                  {"noise", parameters.noise},
                                  {"sharing", parameters.sharing},
                                  {"rank", parameters.rank},
                                  {"draws", parameters.draws},
                                  {"batch size", parameters.batch_size},
                                  {"closed form", parameters.closed_form},
                                  {"seed", parameters.seed}}},
                                {"closed form holds", closed_form_holds}};
    const auto put = [&](const std::string &name, const torch::Tensor &tensor) {
      file.tensors[name] = tensor.detach().to(torch::kCPU).contiguous().clone();
    };
    // Numbers are kept to the last bit.
    put(prefix + "numbers",
        torch::tensor({n_counted, squared_errors, log_ratios, noise_scale},
                      torch::kFloat64));
    put(prefix + "noise_ratios", noise_ratios);
    put(prefix + "prior_precision", delta);
    put(prefix + "group_squares", group_squares);
    for (const auto &[name, tensor] : matrix->state())
      put(matrix_prefix + name, tensor);
  }



  LaplaceApproximation
  LaplaceApproximation::load(const ModelFile                      &file,
                             const std::shared_ptr<OperatorModel> &model)
  {
    const auto description = file.get<nlohmann::json>("laplace");
    if (!description.is_object() || !description.contains("parameters") ||
        !description.value("closed form holds", nlohmann::json()).is_boolean())
      throw FileError(file.filename,
                      "what it says of its Laplace approximation is not "
                      "complete");
    LaplaceApproximation result(model,
                                parse(description["parameters"], file.filename),
                                file.filename);
    const auto           device = result.group_sizes.device();
    const auto           get = [&](const std::string &name, const long size) {
      const auto tensor = file.tensor(prefix + name);
      if (tensor.dim() != 1 || tensor.size(0) != size ||
          tensor.scalar_type() != torch::kFloat64)
        throw FileError(file.filename,
                        "its tensor " + prefix + name +
                          " does not fit its operator");
      return tensor.clone();
    };
    const long groups     = result.group_sizes.size(0);
    const auto numbers    = get("numbers", 4);
    result.n_counted      = numbers[0].item<double>();
    result.squared_errors = numbers[1].item<double>();
    result.log_ratios     = numbers[2].item<double>();
    result.noise_ratios =
      get("noise_ratios", model->shape.out_channels).to(device);
    result.group_squares     = get("group_squares", groups).to(device);
    result.closed_form_holds = description["closed form holds"].get<bool>();

    Curvature::State state;
    for (const auto &[name, tensor] : file.tensors)
      if (name.compare(0, matrix_prefix.size(), matrix_prefix) == 0)
        state[name.substr(matrix_prefix.size())] = tensor.clone().to(device);
    try
      {
        result.matrix->set_state(state, result.chosen);
      }
    catch (const std::out_of_range &)
      {
        throw FileError(file.filename,
                        "the matrix of its Laplace approximation does not fit "
                        "the weights '" +
                          result.parameters.weights + "' of its operator");
      }
    result.set_scales(get("prior_precision", groups),
                      numbers[3].item<double>());
    return result;
  }
} // namespace neuraldeal
