// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/acquisition/acquisition_tools.h>

#include <cmath>

namespace neuraldeal
{
  using namespace acquisition_tools;

  namespace
  {
    constexpr double infinity = std::numeric_limits<double>::infinity();



    class DistanceAcquisition : public AcquisitionFunction
    {
    public:
      DistanceAcquisition(const std::string    &type,
                          const nlohmann::json &parameters,
                          const std::string    &source)
        : type(type)
        , parameters(parameters)
      {
        check_features(parameters, source);
      }

      std::vector<Choice>
      choose(const Candidates &candidates,
             const long        k,
             const RoundRandom &) const override
      {
        const auto x      = places(candidates, parameters, type);
        const auto weight = weights(candidates);

        NearestCenter centers(x.candidates);
        for (long i = 0; i < x.chosen.size(0); ++i)
          centers.add(x.chosen[i]);

        std::vector<char>   taken(candidates.ids.size(), 0);
        std::vector<Choice> result;
        while (long(result.size()) < k)
          {
            const auto choice =
              centers.n_centers == 0 ? first(x.candidates, weight) :
              type == "core set"     ? farthest(centers, weight, taken) :
                                   farthest_of_cluster(centers, weight, taken);
            taken[choice.row] = 1;
            centers.add(x.candidates[choice.row]);
            result.push_back(choice);
          }
        return result;
      }

    private:
      std::vector<double>
      weights(const Candidates &candidates) const
      {
        auto         logarithm = log_weight(candidates, parameters, type);
        const double power     = parameters["uncertainty power"];
        if (power > 0.)
          logarithm =
            logarithm + power * needed(candidates.scale,
                                       "scale",
                                       type + "' with an 'uncertainty power")
                                  .log();
        // (Squares of weights, too, have to be finite.)
        const auto    values = logarithm.clamp_max(300.).exp().contiguous();
        const double *data   = values.data_ptr<double>();
        return {data, data + values.size(0)};
      }

      /** The largest weight, then the one closest to the mean of all. */
      static Choice
      first(const torch::Tensor &x, const std::vector<double> &weight)
      {
        NearestCenter mean(x);
        mean.add(x.mean(0));
        long best = 0;
        for (long i = 1; i < long(weight.size()); ++i)
          if (weight[i] > weight[best] ||
              (weight[i] == weight[best] &&
               mean.squares[i] < mean.squares[best]))
            best = i;
        return {best, weight[best]};
      }

      static Choice
      farthest(const NearestCenter       &centers,
               const std::vector<double> &weight,
               const std::vector<char>   &taken)
      {
        Choice result = {-1, -infinity};
        for (long i = 0; i < long(weight.size()); ++i)
          if (const double score = weight[i] * std::sqrt(centers.squares[i]);
              !taken[i] && (result.row < 0 || score > result.score))
            result = {i, score};
        return result;
      }

      static Choice
      farthest_of_cluster(const NearestCenter       &centers,
                          const std::vector<double> &weight,
                          const std::vector<char>   &taken)
      {
        std::vector<double> size(centers.n_centers, 0.);
        std::vector<Choice> members(centers.n_centers, {-1, -infinity});
        for (long i = 0; i < long(weight.size()); ++i)
          if (!taken[i])
            {
              const double score   = weight[i] * std::sqrt(centers.squares[i]);
              const long   cluster = centers.nearest[i];
              size[cluster] += weight[i] * weight[i] * centers.squares[i];
              if (members[cluster].row < 0 || score > members[cluster].score)
                members[cluster] = {i, score};
            }
        long best = -1;
        for (long c = 0; c < centers.n_centers; ++c)
          if (members[c].row >= 0 &&
              (best < 0 || size[c] > size[best] ||
               (size[c] == size[best] && members[c].row < members[best].row)))
            best = c;
        return members[best];
      }

      const std::string    type;
      const nlohmann::json parameters;
    };



    void
    register_distance(const std::string &type, const std::string &documentation)
    {
      AcquisitionRegistry::Registration(
        type,
        documentation,
        {{"uncertainty power",
          0.,
          0.,
          100.,
          "The power of the predicted scale that distances are multiplied by; "
          "0 for no influence of it."},
         cost_power(),
         feature_choice()},
        [type](const nlohmann::json &parameters, const std::string &source) {
          return std::make_unique<DistanceAcquisition>(type,
                                                       parameters,
                                                       source);
        });
    }
  } // namespace



  void
  register_distance_acquisitions()
  {
    register_distance("core set",
                      "The candidate farthest from all that is chosen (greedy "
                      "k-center).");
    register_distance("largest cluster",
                      "The farthest candidate in the cluster, around one that "
                      "is chosen, with the largest sum of squared distances "
                      "(LCMD).");
  }
} // namespace neuraldeal
