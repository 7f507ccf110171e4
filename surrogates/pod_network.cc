// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <neuraldeal/surrogates/pod_network.h>
#include <neuraldeal/surrogates/progress.h>

#include <algorithm>
#include <limits>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "POD network";
  } // namespace



  void
  PODNetwork::register_type()
  {
    const std::vector<ParameterDescription> own = {
      {"members", 4, 1, 64, "Number of networks in the ensemble."},
      {"width", 64, 1, 4096, "Neurons in each hidden layer."},
      {"depth", 2, 1, 16, "Number of hidden layers."},
      {"epochs", 400, 1, 1e6, "Passes over the training snapshots."},
      {"batch size", 128, 1, 1e6, "Snapshots (and images) in a batch."},
      {"learning rate", 3e-3, 1e-8, 1., "Largest learning rate of AdamW."},
      {"weight decay", 1e-4, 0., 1., "Decoupled weight decay of AdamW."},
      {"seed", 1, 0, 9e15, "Seed of starts and shuffling."}};
    static const SurrogateRegistry::Registration registration(
      name,
      "An ensemble of networks from the parameters and the coarse solution "
      "to the POD coefficients of its correction, with Bayesian last layers.",
      joined(own, common_parameters()),
      [](const std::vector<InputRange> &inputs,
         const nlohmann::json          &parameters) {
        return std::make_unique<PODNetwork>(inputs, parameters);
      });
  }



  PODNetwork::PODNetwork(const std::vector<InputRange> &inputs,
                         const nlohmann::json          &parameters)
    : PODSurrogate(name, inputs, parameters)
  {}



  void
  PODNetwork::train_regression(const torch::Tensor &x,
                               const torch::Tensor &y,
                               const Communicator  &communicator)
  {
    const double output_scale =
      std::max(y.square().sum(1).mean().sqrt().item<double>(),
               std::numeric_limits<double>::min());

    Perceptron::TrainingOptions options;
    options.epochs        = parameters["epochs"];
    options.batch_size    = parameters["batch size"];
    options.learning_rate = parameters["learning rate"];
    options.weight_decay  = parameters["weight decay"];

    // Each member is trained by one rank; then all ranks have all members.
    const long n_members = parameters["members"];
    members.clear();
    Progress progress("training networks", n_members, communicator.rank == 0);
    for (long m = 0; m < n_members; ++m)
      {
        CounterRandom random(parameters["seed"],
                             CounterRandom::Stream::training,
                             m);
        Perceptron    perceptron(x.size(1),
                              y.size(1),
                              parameters["width"],
                              parameters["depth"],
                              random);
        if (communicator.owns(m))
          perceptron.train(x, y / output_scale, options, random);
        else
          for (auto tensor : perceptron.hidden_parameters())
            tensor.zero_();
        const long n_features = perceptron.features(x.slice(0, 0, 1)).size(1);
        members.push_back(
          {perceptron, LinearRegression(n_features, y.size(1))});
        progress.update(m + 1);
      }
    for (auto &member : members)
      for (auto tensor : member.perceptron.hidden_parameters())
        communicator.sum(tensor);
  }



  void
  PODNetwork::learn_rows(const torch::Tensor &x,
                         const torch::Tensor &y,
                         const long)
  {
    for (auto &member : members)
      member.last_layer.add(member.perceptron.features(x), y);
  }



  void
  PODNetwork::update_posterior()
  {
    for (auto &member : members)
      member.last_layer.maximize_evidence();
  }



  PODNetwork::MemberPredictions
  PODNetwork::regress(const torch::Tensor &x) const
  {
    std::vector<torch::Tensor> means, leverages;
    for (const auto &member : members)
      {
        const auto features = member.perceptron.features(x);
        means.push_back(member.last_layer.predict(features));
        leverages.push_back(member.last_layer.leverage(features));
      }
    return combine(means, leverages);
  }



  PODNetwork::MemberPredictions
  PODNetwork::regress_without(const long,
                              const torch::Tensor &x,
                              const torch::Tensor &y) const
  {
    std::vector<torch::Tensor> means, leverages;
    for (const auto &member : members)
      {
        const auto without =
          member.last_layer.leave_out(member.perceptron.features(x), y);
        means.push_back(without.mean);
        leverages.push_back(without.leverage);
      }
    return combine(means, leverages);
  }



  torch::Tensor
  PODNetwork::noise_estimate() const
  {
    torch::Tensor result;
    for (const auto &member : members)
      {
        const auto of_member = member.last_layer.noise_variance();
        result = result.defined() ? result + of_member : of_member;
      }
    return result / double(members.size());
  }



  void
  PODNetwork::save_regression(ModelFile &file) const
  {
    for (std::size_t m = 0; m < members.size(); ++m)
      {
        const auto  prefix = fmt::format("member.{}.", m);
        const auto &hidden = members[m].perceptron.hidden_parameters();
        for (std::size_t l = 0; l < hidden.size(); ++l)
          file.tensors[prefix + fmt::format("hidden.{}", l)] = hidden[l];
        const auto &last                      = members[m].last_layer;
        file.tensors[prefix + "last.gram"]    = last.gram;
        file.tensors[prefix + "last.moments"] = last.moments;
        file.tensors[prefix + "last.squares"] = last.squares;
        file.metadata["last_layer_rows"]      = last.n_rows;
      }
  }



  void
  PODNetwork::load_regression(const ModelFile &file)
  {
    members.clear();
    for (long m = 0; m < parameters["members"].get<long>(); ++m)
      {
        const auto                 prefix = fmt::format("member.{}.", m);
        std::vector<torch::Tensor> hidden;
        for (long l = 0; l < 2 * parameters["depth"].get<long>(); ++l)
          hidden.push_back(
            file.tensor(prefix + fmt::format("hidden.{}", l)).clone());
        const auto      &gram    = file.tensor(prefix + "last.gram");
        const auto      &moments = file.tensor(prefix + "last.moments");
        LinearRegression last(moments.size(0), moments.size(1));
        last.gram    = gram.clone();
        last.moments = moments.clone();
        last.squares = file.tensor(prefix + "last.squares").clone();
        last.n_rows  = file.get<long>("last_layer_rows");
        members.push_back({Perceptron(hidden), last});
      }
  }
} // namespace neuraldeal
