// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "accuracy_problems.h"

#include <fmt/format.h>
#include <neuraldeal/surrogates/exceptions.h>

#include "darcy_data.h"
#include "darcy_field.h"
#include "elasticity_data.h"

namespace neuraldeal::performance
{
  namespace
  {
    /** The mean over the test samples, which follow those to train with. */
    double
    test_error(const torch::Tensor &errors, const long n_train)
    {
      return errors.slice(0, n_train).mean().item<double>();
    }



    /**
     * Darcy flow on grids (DarcyData). Rows name their `set`, and the `coarse
     * cells` along an edge whose solution is the prior.
     */
    class Darcy : public AccuracyProblem
    {
    public:
      Darcy(const nlohmann::json &row, const std::string &folder)
        : set(row.at("set"))
        , data(DarcyData::read(folder + "/" + data_file(row)))
      {}

      std::string
      points() const override
      {
        return fmt::format("{}² points", data.solution.size(1));
      }

      OperatorShape
      shape(const nlohmann::json &) const override
      {
        return {1, 1, 2};
      }

      std::vector<CoarseSolution>
      coarse_solutions() const override
      {
        std::vector<CoarseSolution> result;
        for (std::size_t level = 0; level < data.coarse.size(); ++level)
          {
            const auto n = DarcyData::coarse_cells[level];
            result.push_back(
              {fmt::format("finite elements on {}² cells", n),
               fmt::format("coarse_{}_{}", n, set),
               test_error(data.coarse_errors(level), data.n_train)});
          }
        return result;
      }

      long
      n_train() const override
      {
        return data.n_train;
      }

      OperatorData
      training(const nlohmann::json &row, const long n) const override
      {
        return samples(row).slice(0, n);
      }

      OperatorData
      test(const nlohmann::json &row) const override
      {
        return samples(row).slice(data.n_train, data.n_train + data.n_test);
      }

      /** The square's eight, [8, s²]. */
      torch::Tensor
      symmetries() const override
      {
        return symmetries_of_square(data.solution.size(1));
      }

    private:
      /** Coefficients, coarse solutions if wanted, and solutions. */
      OperatorData
      samples(const nlohmann::json &row) const
      {
        const long   coarse_cells = row.value("coarse cells", 0L);
        OperatorData result;
        result.input.fields = data.coefficient.unsqueeze(1);
        result.target       = data.solution.unsqueeze(1);
        for (std::size_t level = 0; level < data.coarse.size(); ++level)
          if (DarcyData::coarse_cells[level] == coarse_cells)
            result.prior =
              evaluate_at_centres(data.coarse[level], data.n_cells, data.stride)
                .to(torch::kFloat32)
                .unsqueeze(1);
        return result;
      }

      const std::string set;
      const DarcyData   data;
    };



    /**
     * Elasticity around holes, on clouds of points (ElasticityData). Rows may
     * name the `coarse mesh` whose solution is the prior, give the `mesh
     * displacement`, and ask for `mirror images` of the training samples beside
     * them. Images have other points,
     * not the same ones in another order: they are samples of their own, and
     * no symmetries of the Trainer.
     */
    class Elasticity : public AccuracyProblem
    {
    public:
      Elasticity(const nlohmann::json &row,
                 const std::string    &folder,
                 const std::string    &source)
        : data(ElasticityData::read(folder + "/" + data_file(row)))
        , source(source)
      {}

      std::string
      points() const override
      {
        return fmt::format("cloud of {} points", data.points.size(1));
      }

      OperatorShape
      shape(const nlohmann::json &row) const override
      {
        return {choice(row).mesh_displacement ? 3 : 1, 2, 2};
      }

      std::vector<CoarseSolution>
      coarse_solutions() const override
      {
        std::vector<CoarseSolution> result;
        for (std::size_t level = 0; level < data.coarse.size(); ++level)
          {
            const auto &mesh = ElasticityData::coarse_meshes[level];
            result.push_back(
              {"finite elements on " + mesh.name(),
               "elasticity_" + ElasticityData::tensor_name(mesh),
               test_error(data.coarse_errors(level), data.n_train)});
          }
        return result;
      }

      long
      n_train() const override
      {
        return data.n_train;
      }

      OperatorData
      training(const nlohmann::json &row, const long n) const override
      {
        const auto result = data.samples(0, n, choice(row), source);
        return row.value("mirror images", false) ? with_mirror_images(result) :
                                                   result;
      }

      OperatorData
      test(const nlohmann::json &row) const override
      {
        return data.samples(data.n_train,
                            data.n_train + data.n_test,
                            choice(row),
                            source);
      }

      torch::Tensor
      symmetries() const override
      {
        return {};
      }

    private:
      static ElasticityData::Choice
      choice(const nlohmann::json &row)
      {
        return {row.value("coarse mesh", ""),
                row.value("mesh displacement", false)};
      }

      const ElasticityData data;
      const std::string    source;
    };
  } // namespace



  std::string
  AccuracyProblem::data_file(const nlohmann::json &row)
  {
    return row.value("problem", "Darcy") == "elasticity" ?
             "elasticity.safetensors" :
             "darcy-" + row.value("set", "") + ".safetensors";
  }



  std::shared_ptr<const AccuracyProblem>
  AccuracyProblem::read(const nlohmann::json &row,
                        const std::string    &folder,
                        const std::string    &source)
  {
    const std::string name = row.value("problem", "Darcy");
    if (name == "Darcy")
      return std::make_shared<Darcy>(row, folder);
    if (name == "elasticity")
      return std::make_shared<Elasticity>(row, folder, source);
    throw InputError(source, "problem", name, "Darcy or elasticity");
  }
} // namespace neuraldeal::performance
