// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/file_tools.h>
#include <neuraldeal/surrogates/torch_script_surrogate.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "TorchScript";

    std::string
    read_file(const std::string &filename)
    {
      std::ifstream in(filename, std::ios::binary);
      std::string   bytes{std::istreambuf_iterator<char>(in),
                        std::istreambuf_iterator<char>()};
      if (!in.good() && !in.eof())
        throw FileError(filename, "it cannot be read");
      return bytes;
    }



    /** The last line of a message of LibTorch, which says most. */
    std::string
    last_line(const std::string &message)
    {
      std::istringstream lines(message);
      std::string        line, result;
      while (std::getline(lines, line))
        if (line.find_first_not_of(" \t^~") != std::string::npos)
          result = line;
      const auto end = result.find_last_not_of(" .");
      return result.substr(0, end == std::string::npos ? 0 : end + 1);
    }



    /** What LibTorch says of an exception. */
    std::string
    said(const std::exception &exception)
    {
      const auto *error = dynamic_cast<const c10::Error *>(&exception);
      return last_line(error != nullptr ? error->what_without_backtrace() :
                                          exception.what());
    }
  } // namespace



  struct TorchScriptSurrogate::Module
  {
    /** Read from @p bytes, those of @p filename. */
    Module(const std::string &bytes, const std::string &filename)
    {
      try
        {
          std::istringstream stream(bytes);
          module = torch::jit::load(stream, torch::Device(torch::kCPU));
        }
      catch (const std::exception &exception)
        {
          throw FileError(filename,
                          "it is no TorchScript module that this LibTorch can "
                          "load: " +
                            said(exception));
        }
      module.eval();
      const auto method = module.find_method("forward");
      if (!method)
        throw FileError(filename, "its module has no method 'forward'");
      const auto &arguments = method->function().getSchema().arguments();
      // The module itself is the first one.
      long required = 0;
      for (const auto &argument : arguments)
        required += !argument.default_value().has_value();
      if (arguments.size() < 3 || required > 3)
        throw FileError(filename,
                        fmt::format("its method 'forward' takes {} arguments; "
                                    "valid is two, parameters and coarse "
                                    "solution",
                                    arguments.size() - 1));
    }

    // Its forward() is no const function, though nothing is changed by it.
    mutable torch::jit::Module module;
  };



  void
  TorchScriptSurrogate::register_type()
  {
    const std::vector<ParameterDescription> own = {
      {"file",
       "",
       0,
       0,
       "Name of the file that torch.jit.save() has written; has to be set."}};
    static const SurrogateRegistry::Registration registration(
      name,
      "An imported TorchScript module from the parameters and the coarse "
      "solution to the field, and kernel regression of what it leaves.",
      joined(own, remainder_parameters()),
      [](const std::vector<InputRange> &inputs,
         const nlohmann::json          &parameters) {
        return std::make_unique<TorchScriptSurrogate>(inputs, parameters);
      });
  }



  TorchScriptSurrogate::TorchScriptSurrogate(
    const std::vector<InputRange> &inputs,
    const nlohmann::json          &parameters)
    : CorrectedMapSurrogate(name, inputs, parameters, 0., 0)
    , file_name(parameters.at("file"))
  {
    if (file_name.empty())
      throw InputError("the surrogate 'TorchScript'",
                       "file",
                       "",
                       "the name of a file that torch.jit.save() has written");
    if (!std::filesystem::is_regular_file(file_name))
      throw FileError(file_name,
                      "there is no such file, from which the surrogate "
                      "'TorchScript' is to take its module");
  }



  torch::Tensor
  TorchScriptSurrogate::forward(const torch::Tensor &given,
                                const torch::Tensor &prior) const
  {
    const torch::NoGradGuard no_gradients;
    // A graph that is optimised after its first runs would round differently.
    const torch::jit::GraphOptimizerEnabledGuard as_written(false);
    torch::IValue                                answer;
    try
      {
        answer = module->module.forward(
          {given.to(torch::kFloat32), prior.to(torch::kFloat32)});
      }
    catch (const std::exception &exception)
      {
        throw FileError(file_name,
                        fmt::format("its module fails on parameters {} and "
                                    "coarse solutions {}: {}",
                                    c10::str(given.sizes()),
                                    c10::str(prior.sizes()),
                                    said(exception)));
      }
    if (!answer.isTensor())
      throw FileError(file_name,
                      "its module returns a " + answer.tagKind() +
                        "; valid is a tensor");
    const auto fields = answer.toTensor();
    if (fields.scalar_type() != torch::kFloat32 &&
        fields.scalar_type() != torch::kFloat64)
      throw FileError(file_name,
                      std::string("its module returns numbers of type ") +
                        c10::toString(fields.scalar_type()) +
                        "; valid is float32 or float64");
    if (fields.sizes() != prior.sizes())
      throw FileError(file_name,
                      fmt::format("its module returns fields of shape {}; "
                                  "valid is {}",
                                  c10::str(fields.sizes()),
                                  c10::str(prior.sizes())));
    return fields.to(torch::kCPU, torch::kFloat64);
  }



  void
  TorchScriptSurrogate::fit_map(const Snapshots &,
                                const torch::Tensor &,
                                const FieldSpace &,
                                const Communicator &)
  {
    const auto bytes = read_file(file_name);
    module           = std::make_shared<Module>(bytes, file_name);
    hash             = hexadecimal(fnv1a(bytes.data(), bytes.size()));
  }



  void
  TorchScriptSurrogate::verify_map(const Inputs &inputs)
  {
    const long n      = std::min<long>(inputs.parameters.size(0), 5);
    const auto given  = inputs.parameters.slice(0, 0, n),
               prior  = inputs.prior.slice(0, 0, n);
    const auto fields = forward(given, prior);
    if (!torch::isfinite(fields).all().item<bool>())
      throw FileError(file_name,
                      "its module returns a value that is not finite for a "
                      "snapshot");
    if (!torch::equal(forward(given, prior), fields))
      throw FileError(file_name,
                      "its module gives two answers to the same input; valid "
                      "is a deterministic one");
    const double tolerance = 1e-4 * fields.abs().max().item<double>();
    for (long i = 0; i < n; ++i)
      {
        const auto alone =
          forward(given.slice(0, i, i + 1), prior.slice(0, i, i + 1));
        if (!((alone[0] - fields[i]).abs().max().item<double>() <= tolerance))
          throw FileError(file_name,
                          "what its module says of an input depends on the "
                          "others of the batch; valid is a row by itself");
      }
  }



  CorrectedMapSurrogate::Answer
  TorchScriptSurrogate::map(const Inputs &inputs) const
  {
    return {forward(inputs.parameters, inputs.prior), torch::Tensor()};
  }



  void
  TorchScriptSurrogate::save_map(ModelFile &file) const
  {
    file.metadata["module"] = {{"file",
                                std::filesystem::absolute(file_name).string()},
                               {"hash", hash}};
  }



  void
  TorchScriptSurrogate::load_map(const ModelFile &file)
  {
    const auto        recorded = file.get<nlohmann::json>("module");
    const std::string expected = recorded.is_object() &&
                                     recorded.contains("hash") &&
                                     recorded["hash"].is_string() ?
                                   recorded["hash"].get<std::string>() :
                                   "";
    if (expected.empty())
      throw FileError(file.filename,
                      "its entry 'module' has no hash of a TorchScript module");
    const auto bytes = read_file(file_name);
    const auto found = hexadecimal(fnv1a(bytes.data(), bytes.size()));
    if (found != expected)
      throw FileError(file_name,
                      fmt::format("its hash is {}, but {} was fitted with a "
                                  "module of hash {}; valid is that module, or "
                                  "no model file, so that one is fitted anew",
                                  found,
                                  file.filename,
                                  expected));
    module = std::make_shared<Module>(bytes, file_name);
    hash   = found;
  }
} // namespace neuraldeal
