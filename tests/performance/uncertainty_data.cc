// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "uncertainty_data.h"

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/model_file.h>

#include <cmath>

#include "darcy_field.h"

namespace neuraldeal::performance
{
  namespace
  {
    using Kind     = UncertaintySet::Kind;
    using Equation = UncertaintyProblem::Equation;

    /** More samples, or points along an edge, are a damaged file's. */
    constexpr std::int64_t largest_size = 1 << 20;

    /** The sets of @p file, without their samples. */
    std::vector<UncertaintyData::Set>
    described_sets(const ModelFile &file)
    {
      std::vector<UncertaintyData::Set> sets;
      const auto fail = [&](const std::string &problem) -> void {
        throw FileError(file.filename,
                        "entry " + std::to_string(sets.size()) +
                          " of its 'sets' " + problem);
      };
      for (const auto &entry : file.get<nlohmann::json::array_t>("sets"))
        {
          UncertaintyData::Set set;
          std::string          kind;
          try
            {
              set.name      = entry.at("name").get<std::string>();
              set.factor    = entry.at("factor").get<double>();
              set.n_samples = entry.at("samples").get<std::int64_t>();
              set.seed      = entry.at("seed").get<std::uint64_t>();
              set.seconds   = entry.at("seconds").get<double>();
              kind          = entry.at("kind").get<std::string>();
            }
          catch (const nlohmann::json::exception &)
            {
              fail("lacks a name, kind, factor, seed, number of samples or "
                   "seconds");
            }
          bool known = false;
          for (const auto candidate :
               {Kind::training, Kind::held_out, Kind::shorter, Kind::larger})
            if (to_string(candidate) == kind)
              {
                set.kind = candidate;
                known    = true;
              }
          if (!known)
            fail("is of the kind '" + kind +
                 "' and not of training, held-out, shorter or larger");
          if (!(set.factor > 0.) || set.n_samples < 1 ||
              set.n_samples > largest_size)
            fail("has a factor or a number of samples that is not positive, "
                 "or too many samples");
          sets.push_back(set);
        }
      return sets;
    }



    /** The sets of the file called @p filename with their samples. */
    std::vector<UncertaintyData::Set>
    read_file(const std::string &filename, UncertaintyProblem problem)
    {
      const auto file = ModelFile::read(filename);
      if (file.get<std::string>("problem") != problem.name)
        throw FileError(filename,
                        "it belongs to the problem '" +
                          file.get<std::string>("problem") + "' and not to '" +
                          problem.name + "'");
      problem.n_points = file.get<unsigned int>("n_points");
      if (problem.n_points < 1 || problem.n_points > largest_size)
        throw FileError(filename, "its 'n_points' is no number of points");
      auto         sets      = described_sets(file);
      std::int64_t n_samples = 0;
      for (const auto &set : sets)
        n_samples += set.n_samples;

      const auto get = [&](const std::string        &name,
                           const torch::Dtype        type,
                           std::vector<std::int64_t> shape) {
        shape.insert(shape.begin(), n_samples);
        const auto tensor = file.tensor(name);
        if (tensor.scalar_type() != type || tensor.sizes().vec() != shape)
          throw FileError(filename,
                          "its tensor '" + name +
                            "' has another shape or type than its sets ask "
                            "for");
        return tensor;
      };
      const bool         packed = problem.equation == Equation::darcy;
      const std::int64_t n      = problem.n_points;
      const auto         input  = packed ?
                                    get("input", torch::kUInt8, {(n * n + 7) / 8}) :
                                    get("input", torch::kFloat32, problem.input_shape());
      const auto         solution =
        get("solution", torch::kFloat32, problem.solution_shape());

      const auto   entries = file.get<nlohmann::json>("sets");
      std::int64_t begin   = 0;
      for (std::size_t i = 0; i < sets.size(); ++i)
        {
          auto &set    = sets[i];
          set.input    = input.narrow(0, begin, set.n_samples);
          set.solution = solution.narrow(0, begin, set.n_samples);
          if (packed)
            try
              {
                set.input =
                  unpack_coefficient(
                    set.input,
                    n,
                    entries[i].at("values").get<std::array<double, 2>>())
                    .unsqueeze(1);
              }
            catch (const nlohmann::json::exception &)
              {
                throw FileError(filename,
                                "its set '" + set.name +
                                  "' does not say which two values the "
                                  "coefficient has");
              }
          begin += set.n_samples;
        }
      return sets;
    }
  } // namespace



  std::string
  to_string(const UncertaintySet::Kind kind)
  {
    switch (kind)
      {
        case Kind::training:
          return "training";
        case Kind::held_out:
          return "held-out";
        case Kind::shorter:
          return "shorter";
        default:
          return "larger";
      }
  }



  UncertaintyProblem
  UncertaintyProblem::by_name(const std::string &name)
  {
    UncertaintyProblem problem;
    std::uint64_t      seed    = 0;
    std::int64_t       n_train = 1024;
    if (name == "darcy")
      {
        problem = {name, Equation::darcy, 64, 64, {}};
        seed    = 1000;
      }
    else if (name == "log-normal")
      {
        problem = {name, Equation::log_normal, 64, 64, {}};
        seed    = 2000;
      }
    else if (name == "burgers")
      {
        problem = {name, Equation::burgers, 512, 128, {}};
        seed    = 3000;
        n_train = 250;
      }
    else
      throw InputError("the uncertainty benchmark",
                       "the problem",
                       name,
                       "darcy, log-normal or burgers");

    problem.sets = {{"training", Kind::training, 1., n_train, seed},
                    {"held-out", Kind::held_out, 1., 600, seed + 1},
                    {"shorter 0.8", Kind::shorter, 0.8, 100, seed + 2},
                    {"shorter 0.6", Kind::shorter, 0.6, 100, seed + 3},
                    {"shorter 0.4", Kind::shorter, 0.4, 100, seed + 4},
                    {"shorter 0.25", Kind::shorter, 0.25, 100, seed + 5},
                    {"larger 1.25", Kind::larger, 1.25, 100, seed + 6},
                    {"larger 1.5", Kind::larger, 1.5, 100, seed + 7},
                    {"larger 2", Kind::larger, 2., 100, seed + 8},
                    {"larger 3", Kind::larger, 3., 100, seed + 9}};
    return problem;
  }



  std::vector<std::int64_t>
  UncertaintyProblem::input_shape() const
  {
    if (equation == Equation::burgers)
      return {1, n_points};
    return {1, n_points, n_points};
  }



  std::vector<std::int64_t>
  UncertaintyProblem::solution_shape() const
  {
    auto shape = input_shape();
    if (equation == Equation::burgers)
      shape[0] = n_times;
    return shape;
  }



  std::string
  UncertaintyProblem::filename(const std::string &folder,
                               const bool         shifted) const
  {
    return folder + "/uncertainty-" + name +
           (shifted ? "-shifted" : "-training") + ".safetensors";
  }



  std::vector<UncertaintySet>
  UncertaintyProblem::sets_of_file(const bool shifted) const
  {
    std::vector<UncertaintySet> result;
    for (const auto &set : sets)
      if (set.is_shifted() == shifted)
        result.push_back(set);
    return result;
  }



  UncertaintyData
  UncertaintyData::read(const std::string &folder, const std::string &name)
  {
    const auto      problem = UncertaintyProblem::by_name(name);
    UncertaintyData data;
    data.name = name;
    for (const bool shifted : {false, true})
      for (const auto &set :
           read_file(problem.filename(folder, shifted), problem))
        data.sets.push_back(set);
    return data;
  }



  const UncertaintyData::Set &
  UncertaintyData::set(const std::string &name) const
  {
    std::string names;
    for (const auto &set : sets)
      {
        if (set.name == name)
          return set;
        names += (names.empty() ? "" : ", ") + set.name;
      }
    throw InputError("the data of the problem '" + this->name + "'",
                     "the set",
                     name,
                     names);
  }
} // namespace neuraldeal::performance
