// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/uncertainty/weight_selection.h>

#include <map>
#include <regex>

namespace neuraldeal
{
  namespace
  {
    /** "network.projection_out" of "network.projection_out.weight". */
    std::string
    module_of(const std::string &name)
    {
      const auto dot = name.rfind('.');
      return dot == std::string::npos ? "" : name.substr(0, dot);
    }



    /** Whether @p expression is found in each of @p names. */
    std::vector<bool>
    search(const std::vector<std::string> &names,
           const std::string              &expression,
           const std::string              &source)
    {
      std::vector<bool> result;
      try
        {
          const std::regex regex(expression);
          for (const auto &name : names)
            result.push_back(std::regex_search(name, regex));
        }
      catch (const std::regex_error &)
        {
          throw InputError(source,
                           "weights",
                           expression,
                           "'all', 'last layer' or a regular expression");
        }
      return result;
    }
  } // namespace



  WeightSelection::WeightSelection(const torch::nn::Module &module,
                                   const std::string       &which,
                                   const std::string       &source)
  {
    const auto               parameters = module.named_parameters();
    std::vector<std::string> names;
    for (const auto &parameter : parameters)
      names.push_back(parameter.key());

    std::vector<bool> chosen(names.size(), true);
    if (which == "last layer")
      for (std::size_t i = 0; i < names.size(); ++i)
        chosen[i] = module_of(names[i]) == module_of(names.back());
    else if (which != "all")
      chosen = search(names, which, source);

    long begin = 0;
    for (std::size_t i = 0; i < names.size(); ++i)
      if (chosen[i])
        {
          const auto &tensor = parameters[names[i]];
          all_parts.push_back(
            {names[i], tensor, begin, begin + tensor.numel()});
          begin += tensor.numel();
        }
    if (all_parts.empty())
      {
        std::string list;
        for (const auto &name : names)
          list += (list.empty() ? "" : ", ") + name;
        throw InputError(source,
                         "weights",
                         which,
                         "'all', 'last layer' or a regular expression that is "
                         "found in one of: " +
                           list);
      }
  }



  std::vector<torch::Tensor>
  WeightSelection::tensors() const
  {
    std::vector<torch::Tensor> result;
    for (const auto &part : all_parts)
      result.push_back(part.tensor);
    return result;
  }



  torch::Tensor
  WeightSelection::values() const
  {
    const torch::NoGradGuard no_gradients;
    return join(tensors());
  }



  std::vector<torch::Tensor>
  WeightSelection::split(const torch::Tensor &vector) const
  {
    std::vector<torch::Tensor> result;
    for (const auto &part : all_parts)
      result.push_back(vector.slice(0, part.begin, part.end)
                         .view(part.tensor.sizes())
                         .to(part.tensor.options().requires_grad(false)));
    return result;
  }



  torch::Tensor
  WeightSelection::join(const std::vector<torch::Tensor> &tensors) const
  {
    const auto options =
      all_parts[0].tensor.options().dtype(torch::kFloat64).requires_grad(false);
    std::vector<torch::Tensor> flat;
    for (std::size_t i = 0; i < all_parts.size(); ++i)
      flat.push_back(
        tensors[i].defined() ?
          tensors[i].detach().to(options).flatten() :
          torch::zeros({all_parts[i].end - all_parts[i].begin}, options));
    return torch::cat(flat);
  }



  std::vector<long>
  WeightSelection::groups(const Groups kind) const
  {
    std::vector<long>           result;
    std::map<std::string, long> numbers;
    for (const auto &part : all_parts)
      {
        const auto key = kind == Groups::one       ? "" :
                         kind == Groups::per_layer ? module_of(part.name) :
                                                     part.name;
        result.push_back(numbers.emplace(key, numbers.size()).first->second);
      }
    return result;
  }
} // namespace neuraldeal
