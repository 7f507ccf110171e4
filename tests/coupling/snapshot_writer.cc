// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/distributed/tria.h>

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/grid_generator.h>

#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "../python.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;
  using Strings     = std::vector<std::string>;
  using Json        = nlohmann::json;

  /** Fields on a small mesh, distributed over a group. */
  struct Space
  {
    explicit Space(const MPI_Comm communicator)
      : triangulation(communicator)
      , dof_handler(triangulation)
    {
      GridGenerator::hyper_cube(triangulation);
      triangulation.refine_global(2);
      dof_handler.distribute_dofs(FE_Q<2>(1));
      constraints.close();
      layout = std::make_unique<FieldLayout>(dof_handler, constraints);
    }

    /** The values that this rank has of a field that only the id defines. */
    torch::Tensor
    field(const long id) const
    {
      return ((torch::arange(layout->n_values(), torch::kFloat64) + 0.1) *
              std::sqrt(2. + id))
        .slice(0,
               layout->first_value(),
               layout->first_value() + layout->n_local_values())
        .clone();
    }

    parallel::distributed::Triangulation<2> triangulation;
    DoFHandler<2>                           dof_handler;
    AffineConstraints<double>               constraints;
    std::unique_ptr<FieldLayout>            layout;
  };

  /** A campaign whose solves cost nothing: input (a, b) gives the field a. */
  struct Host
  {
    Host(const unsigned int group_size, const std::string &folder)
      : groups(MPI_COMM_WORLD, group_size, "test.prm")
      , space(groups.group())
    {
      data.folder         = folder;
      model.reinit_vector = [&](Distributed &x) {
        x.reinit(space.dof_handler.locally_owned_dofs(), groups.group());
      };
      model.solve = [&](const Input &input, Distributed &x) {
        ++n_solves;
        last = input;
        x    = input[0];
        return 3u;
      };
    }

    unsigned int
    run(const std::string &campaign,
        const double       shift,
        const unsigned int n,
        const std::string &problem = "problem")
    {
      data.description.campaign = campaign;
      return Campaign<Distributed>(model, *space.layout, groups, data)
        .run(n,
             [shift](const long i) {
               return Input{shift + i, 0.5 * i};
             },
             problem,
             {"a", "b"});
    }

    ProcessGroups                                  groups;
    Space                                          space;
    FullOrderModel<Distributed>                    model;
    typename Campaign<Distributed>::AdditionalData data;
    unsigned int                                   n_solves = 0;
    Input                                          last;
  };
} // namespace



TEST(SnapshotWriter, PythonReadsAllThatWasWritten)
{
  // One rank asks, all go the same way.
  std::string interpreter;
  if (rank() == 0)
    interpreter = tests::python_with_h5py();
  interpreter = broadcast(interpreter);
  if (interpreter.empty())
    GTEST_SKIP() << "there is no Python with h5py (python3-h5py of Debian)";

  constexpr double    nan = std::numeric_limits<double>::quiet_NaN();
  const ScratchFolder folder;
  const Space         space(MPI_COMM_WORLD);
  StoreDescription    description;
  description.campaign              = "scrambled Sobol, seed 5";
  description.design                = "scrambled Sobol";
  description.seed                  = "5";
  description.parameter_file        = "0123456789abcdef";
  description.parameter_names       = {"conductivity", "width"};
  description.parameter_units       = {"W/(m K)", "µm"};
  description.field_names           = {"temperature"};
  description.field_units           = {"K"};
  description.statistic_names       = {"Newton steps", "residual", "cells"};
  const long                  first = 2 * SnapshotReader::campaign_size;
  std::vector<SnapshotRecord> records(3);
  for (long i = 0; i < 3; ++i)
    {
      auto &record      = records[i];
      record.id         = first + i;
      record.parameters = {1. / 3. + i, -1e-300 * i};
      record.prior      = -space.field(i);
      record.solution   = space.field(i);
      record.seconds    = 0.1 * (i + 1);
      record.iterations = 7 + i;
      record.statistics = {4. + i, 1e-9 / (i + 1), 16.};
    }
  records[2].status     = SnapshotRecord::Status::failed;
  records[2].reason     = "diverged, µ too large";
  records[2].statistics = {nan, nan, nan};
  SnapshotWriter(folder.path, *space.layout, "abcd", "by hand", description)
    .write(records);
  MPI_Barrier(MPI_COMM_WORLD);

  const auto file = SnapshotReader::batch_file(folder.path, first);
  std::pair<std::string, bool> answer;
  if (rank() == 0)
    answer = tests::python(
      interpreter,
      "import h5py, json\n"
      "def plain(x):\n"
      "  if hasattr(x, \"tolist\"): x = x.tolist()\n"
      "  if isinstance(x, list): return [plain(y) for y in x]\n"
      "  if isinstance(x, bytes): return x.decode()\n"
      "  return None if isinstance(x, float) and x != x else x\n"
      "f = h5py.File(\"" +
        file +
        "\", \"r\")\n"
        "print(json.dumps({\n"
        "  \"file\": {k: plain(v) for k, v in f.attrs.items()},\n"
        "  \"data\": {k: plain(d[...]) for k, d in f.items()},\n"
        "  \"about\": {k: {a: plain(v) for a, v in d.attrs.items()}\n"
        "            for k, d in f.items()}}))\n");
  if (rank() == 0)
    {
      ASSERT_TRUE(answer.second) << answer.first;
      const auto found      = Json::parse(answer.first);
      auto       attributes = found["file"];
      for (const std::string name :
           {"neural.deal ", "deal.II 9.", "LibTorch ", "HDF5 1."})
        EXPECT_NE(attributes["versions"].get<std::string>().find(name),
                  std::string::npos)
          << attributes["versions"];
      attributes.erase("versions");
      EXPECT_EQ(attributes,
                Json({{"format", "neural.deal snapshots 1"},
                      {"problem", "abcd"},
                      {"provenance", "by hand"},
                      {"campaign", "scrambled Sobol, seed 5"},
                      {"design", "scrambled Sobol"},
                      {"seed", "5"},
                      {"parameter file", "0123456789abcdef"}}));

      const auto &values = found["data"];
      EXPECT_EQ(values["sample"], Json({first, first + 1, first + 2}));
      EXPECT_EQ(values["campaign"], Json({2, 2, 2}));
      EXPECT_EQ(values["status"], Json({0, 0, 2}));
      EXPECT_EQ(values["reason"], Json({"", "", "diverged, µ too large"}));
      EXPECT_EQ(values["iterations"], Json({7, 8, 9}));
      ASSERT_EQ(values["solution"].size(), 3u);
      const long n = space.layout->n_values();
      for (long i = 0; i < 3; ++i)
        {
          EXPECT_EQ(values["seconds"][i], records[i].seconds);
          EXPECT_EQ(values["parameters"][i], Json(records[i].parameters));
          EXPECT_EQ(values["statistics"][i],
                    i == 2 ? Json({nullptr, nullptr, nullptr}) :
                             Json(records[i].statistics));
          ASSERT_EQ(long(values["solution"][i].size()), n);
          ASSERT_EQ(long(values["prior"][i].size()), n);
          for (long k = 0; k < n; ++k)
            {
              const double expected = (k + 0.1) * std::sqrt(2. + i);
              EXPECT_EQ(values["solution"][i][k], expected);
              EXPECT_EQ(values["prior"][i][k], -expected);
            }
        }

      const auto &about = found["about"];
      for (const auto &[name, entry] : about.items())
        EXPECT_FALSE(entry["description"].get<std::string>().empty()) << name;
      EXPECT_EQ(about["parameters"]["names"],
                Json::array({"conductivity", "width"}));
      EXPECT_EQ(about["parameters"]["units"], Json::array({"W/(m K)", "µm"}));
      for (const char *name : {"prior", "solution"})
        {
          EXPECT_EQ(about[name]["names"], Json::array({"temperature"}));
          EXPECT_EQ(about[name]["units"], Json::array({"K"}));
        }
      EXPECT_EQ(about["statistics"]["names"],
                Json({"Newton steps", "residual", "cells"}));
    }

  // And so does the reader.
  const SnapshotReader reader(folder.path, "abcd");
  ASSERT_EQ(reader.campaigns().size(), 1u);
  EXPECT_EQ(reader.campaigns()[0].number, 2);
  EXPECT_EQ(reader.campaigns()[0].name, description.campaign);
  EXPECT_EQ(reader.campaigns()[0].design, description.design);
  EXPECT_EQ(reader.campaigns()[0].seed, "5");
  EXPECT_EQ(reader.columns("parameters", "units"), description.parameter_units);
  EXPECT_EQ(reader.columns("solution", "names"), description.field_names);
  EXPECT_EQ(reader.columns("statistics", "units"), Strings());
  EXPECT_TRUE(torch::equal(reader.statistics("Newton steps"),
                           torch::tensor({4., 5.}, torch::kFloat64)));
  EXPECT_TRUE(reader.statistics("colour").isnan().all().item<bool>());
  EXPECT_EQ(reader.first_id(description.campaign), first);
  EXPECT_EQ(reader.first_id("another"), first + SnapshotReader::campaign_size);
}



TEST(SnapshotWriter, LaterCampaignsAreAppended)
{
  const ScratchFolder folder;
  constexpr long      size = SnapshotReader::campaign_size;
  for (const auto group_size : group_sizes())
    {
      const auto store = folder / std::to_string(group_size);
      {
        Host host(group_size, store);
        EXPECT_EQ(host.run("first", 10., 3), 3u);
        EXPECT_EQ(host.run("second", 20., 4), 4u);
        // Either can grow, and is never mistaken for the other.
        EXPECT_EQ(host.run("first", 10., 6), 3u);
        EXPECT_EQ(host.run("second", 20., 4), 0u);
        EXPECT_EQ(host.run("second", 20., 5), 1u);
      }
      const SnapshotReader reader(store, "problem");
      EXPECT_EQ(
        reader.ids(),
        (std::vector<long>{
          0, 1, 2, 3, 4, 5, size, size + 1, size + 2, size + 3, size + 4}));
      ASSERT_EQ(reader.campaigns().size(), 2u);
      EXPECT_EQ(reader.campaigns()[0].name, "first");
      EXPECT_EQ(reader.campaigns()[1].name, "second");
      EXPECT_EQ(reader.campaigns()[1].number, 1);
      const auto snapshots = reader.read(0, 11);
      for (long i = 0; i < 11; ++i)
        {
          const double a = i < 6 ? 10. + i : 20. + i - 6;
          EXPECT_EQ(snapshots.parameters[i][0].item<double>(), a);
          EXPECT_EQ(snapshots.solution[i].min().item<double>(), a);
          EXPECT_EQ(snapshots.solution[i].max().item<double>(), a);
        }
      // Each sample says so itself.
      for (const auto &name : reader.batch_files())
        {
          const HDF5File file(name);
          for (const auto number : file.read<std::int64_t>("campaign"))
            EXPECT_EQ(file.read_attribute("campaign"),
                      number == 0 ? "first" : "second");
        }
      // Another problem is not another campaign.
      Host other(group_size, store);
      expect_sentence(message_of([&]() { other.run("third", 0., 2, "xyz"); }),
                      {store, "'problem'", "valid is xyz"});
      EXPECT_EQ(other.n_solves, 0u);
    }
}



TEST(SnapshotWriter, FailuresCountInTheirOwnCampaign)
{
  const ScratchFolder folder;
  Host                host(1, folder.path);
  host.data.max_failures = 0.5;
  host.model.solve       = [&](const Input &input, Distributed &x) {
    if (input[0] < 12.)
      throw std::runtime_error("it is too cold");
    x = input[0];
    return 1u;
  };
  EXPECT_EQ(host.run("first", 10., 4), 4u);
  // Half of the first have failed; the second has none to spare.
  host.data.max_failures = 0.;
  EXPECT_EQ(message_of([&]() { host.run("second", 20., 4); }), "");
  expect_sentence(message_of([&]() { host.run("first", 10., 4); }),
                  {"number of failed solves", "it is too cold"});
  const SnapshotReader reader(folder.path);
  EXPECT_EQ(reader.failures().size(), 2u);
  EXPECT_EQ(reader.size(), 6);
}



TEST(SnapshotWriter, HostsTellStatistics)
{
  const ScratchFolder folder;
  for (const auto group_size : group_sizes())
    {
      const auto store = folder / std::to_string(group_size);
      Host       host(group_size, store);
      host.data.max_failures     = 0.5;
      host.model.statistic_names = {"twice a", "rank"};
      host.model.statistics      = [&]() {
        if (host.last[0] == 11.)
          throw std::runtime_error("there is nothing to tell");
        return std::vector<double>{2. * host.last[0],
                                   double(rank(host.groups.group()))};
      };
      EXPECT_EQ(host.run("", 10., 4), 4u);
      const SnapshotReader reader(store);
      EXPECT_EQ(reader.ids(), (std::vector<long>{0, 2, 3}));
      EXPECT_TRUE(
        torch::equal(reader.statistics("twice a"),
                     torch::tensor({20., 24., 26.}, torch::kFloat64)));
      EXPECT_EQ(reader.statistics("rank").abs().max().item<double>(), 0.);
      ASSERT_EQ(reader.failures().size(), 1u);
      EXPECT_NE(reader.failures()[0].second.find("nothing to tell"),
                std::string::npos);

      // Numbers without names are the program's mistake, and said to be.
      Host wrong(group_size, store + "-wrong");
      wrong.model.statistic_names = {"one"};
      wrong.model.statistics = []() { return std::vector<double>{1., 2.}; };
      expect_sentence(message_of([&]() { wrong.run("", 10., 4); }),
                      {"tells 2 statistics and names 1"});
    }
}



TEST(SnapshotWriter, StoresOfEarlierVersionsAreRead)
{
  // The same without what is new: a copy of some data sets.
  const ScratchFolder folder;
  if (rank() == 0)
    {
      const std::string name = SnapshotReader::batch_file(folder.path, 0);
      HDF5File          file(name, H5P_DEFAULT, H5P_DEFAULT);
      file.write_attribute("format", "neural.deal snapshots 1");
      file.write_attribute("problem", "problem");
      file.write("sample", std::vector<std::int64_t>{0, 1}, "ids");
      file.write("status", std::vector<std::int64_t>{0, 0}, "status");
      file.write_strings("reason", {"", ""}, "reasons");
      file.write("seconds", std::vector<double>{0.1, 0.2}, "seconds");
      file.write("iterations", std::vector<std::int64_t>{1, 1}, "iterations");
      const std::vector<double> inputs = {1., 2., 3., 4.}, fields(50, 1.);
      file.write("parameters", {2, 2}, inputs.data(), 0, 2, "inputs");
      file.write("prior", {2, 25}, fields.data(), 0, 25, "priors");
      file.write("solution", {2, 25}, fields.data(), 0, 25, "solutions");
      file.close();
    }
  MPI_Barrier(MPI_COMM_WORLD);
  {
    const SnapshotReader reader(folder.path, "problem");
    EXPECT_EQ(reader.ids(), (std::vector<long>{0, 1}));
    ASSERT_EQ(reader.campaigns().size(), 1u);
    EXPECT_EQ(reader.campaigns()[0].name, "");
    EXPECT_EQ(reader.columns("parameters", "names"), Strings());
    EXPECT_TRUE(reader.statistics("any").isnan().all().item<bool>());
    EXPECT_EQ(reader.read(0, 2).solution.size(1), 25);
  }
  MPI_Barrier(MPI_COMM_WORLD);

  // A campaign without a name is the one that is there; another is appended.
  Host host(1, folder.path);
  EXPECT_EQ(host.run("", 10., 3), 1u);
  EXPECT_EQ(host.run("named", 10., 2), 2u);
  EXPECT_EQ(SnapshotReader(folder.path).ids(),
            (std::vector<long>{0,
                               1,
                               2,
                               SnapshotReader::campaign_size,
                               SnapshotReader::campaign_size + 1}));
}
