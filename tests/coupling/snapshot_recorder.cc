// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/fe/fe_q.h>

#include <deal.II/grid/grid_generator.h>
#include <deal.II/grid/tria.h>

#include <deal.II/numerics/vector_tools_interpolate.h>

#include <neuraldeal/coupling/field_layout.h>
#include <neuraldeal/coupling/snapshot_recorder.h>
#include <neuraldeal/surrogates/snapshot_reader.h>
#include <neuraldeal/surrogates/train_surrogate.h>

#include <cmath>
#include <map>
#include <stdexcept>

#include "spaces.h"
#include "test_tools.h"

using namespace dealii;
using namespace neuraldeal;
using namespace TestTools;

namespace
{
  using Distributed = LinearAlgebra::distributed::Vector<double>;

  /** 1 + a x + b y, times c. */
  class Plane : public Function<2>
  {
  public:
    Plane(const double a, const double b, const double c)
      : a(a)
      , b(b)
      , c(c)
    {}

    double
    value(const Point<2> &p, const unsigned int = 0) const override
    {
      return c * (1. + a * p[0] + b * p[1]);
    }

  private:
    const double a, b, c;
  };

  /** A program's mesh and its fields. */
  template <typename VectorType>
  struct Program
  {
    explicit Program(const MPI_Comm     communicator,
                     const unsigned int n_refinements = 1)
      : space(communicator, Spaces::Mesh::l_shape, n_refinements, FE_Q<2>(1))
      , layout(space.dof_handler, space.constraints)
    {}

    VectorType
    field(const Function<2> &function) const
    {
      VectorType result;
      if constexpr (std::is_same_v<VectorType, Vector<double>>)
        result.reinit(space.dof_handler.n_dofs());
      else
        result.reinit(space.dof_handler.locally_owned_dofs(),
                      layout.communicator());
      std::map<types::global_dof_index, Point<2>> points;
      DoFTools::map_dofs_to_support_points(MappingQ1<2>(),
                                           space.dof_handler,
                                           points);
      for (const auto dof : space.dof_handler.locally_owned_dofs())
        result(dof) = function.value(points.at(dof));
      result.compress(VectorOperation::insert);
      return result;
    }

    torch::Tensor
    values(const Function<2> &function) const
    {
      return layout.to_tensor(field(function));
    }

    torch::Tensor
    mine(const torch::Tensor &fields) const
    {
      return fields.slice(1,
                          layout.first_value(),
                          layout.first_value() + layout.n_local_values());
    }

    Spaces::Space<2> space;
    FieldLayout      layout;
  };

  const std::vector<std::string> names = {"a", "b"};
} // namespace



template <typename VectorType>
class SnapshotRecorderTest : public testing::Test
{};

TYPED_TEST_SUITE(SnapshotRecorderTest, Spaces::VectorTypes);



TYPED_TEST(SnapshotRecorderTest, ALoopOverParameters)
{
  using VectorType                 = TypeParam;
  const auto          communicator = Spaces::communicator_for<VectorType>();
  const ScratchFolder folder(communicator);
  const Program<VectorType> program(communicator);
  const auto                plane = [](const long i) {
    return Plane(0.1 * i, 1. - 0.2 * i, 1.);
  };
  const auto input = [](const long i) {
    return std::vector<double>{0.1 * i, 1. - 0.2 * i};
  };
  const auto loop = [&](const long n) {
    SnapshotRecorder recorder(folder.path, program.space.dof_handler, names);
    long             n_new = 0;
    for (long i = 0; i < n; ++i)
      {
        EXPECT_EQ(recorder.has(input(i)), i < 3 && n > 3);
        n_new += recorder.record(input(i), program.field(plane(i)));
        EXPECT_TRUE(recorder.has(input(i)));
        EXPECT_EQ(recorder.memory_consumption(), 0u);
      }
    return n_new;
  };
  EXPECT_EQ(loop(3), 3);
  // The program is started again, and goes further.
  EXPECT_EQ(loop(12), 9);
  MPI_Barrier(communicator);

  const SnapshotReader reader(folder / "snapshots");
  ASSERT_EQ(reader.size(), 12);
  EXPECT_EQ(reader.columns("parameters", "names"), names);
  const auto snapshots = reader.read(0, 12);
  for (long i = 0; i < 12; ++i)
    {
      EXPECT_EQ(snapshots.parameters[i][0].template item<double>(),
                input(i)[0]);
      EXPECT_EQ(snapshots.parameters[i][1].template item<double>(),
                input(i)[1]);
      EXPECT_TRUE(torch::equal(program.mine(snapshots.solution)[i],
                               program.values(plane(i))));
    }
  EXPECT_EQ(snapshots.prior.abs().max().template item<double>(), 0.);

  // And it is what `neuraldeal-train` wants: planes are learned.
  const auto task = TrainingTask::read(folder / "training.json");
  EXPECT_EQ(task.training_samples.size(), 9u);
  EXPECT_EQ(task.held_out_samples.size(), 3u);
  EXPECT_EQ(task.inputs[0].name, "a");
  EXPECT_EQ(task.inputs[0].lower, 0.);
  EXPECT_EQ(task.inputs[0].upper, input(11)[0]);
  const auto store = task.open_store();
  task.check_snapshots(store);
  const auto surrogate =
    make_surrogate(task.surrogate, task.inputs, task.parameters, task.source);
  train_surrogate(*surrogate, task, store, Communicator());
  const auto summary = summarize_scores(surrogate->held_out_scores());
  EXPECT_EQ(summary.n, 3);
  EXPECT_LT(summary.error_95, 0.05);
}



TYPED_TEST(SnapshotRecorderTest, ALoopOverTime)
{
  using VectorType                 = TypeParam;
  const auto          communicator = Spaces::communicator_for<VectorType>();
  const ScratchFolder folder(communicator);
  const Program<VectorType> program(communicator);
  SnapshotRecorderData      data;
  data.trajectories    = "pairs";
  data.steps_in_memory = 3;
  const auto state     = [](const double a, const double time) {
    return Plane(a, 1., std::exp(-a * time));
  };
  const auto loop = [&](const double a, SnapshotRecorder &recorder) {
    recorder.begin({a, 1.});
    for (long k = 0; k < 7; ++k)
      recorder.step(0.1 * k, program.field(state(a, 0.1 * k)));
  };
  {
    SnapshotRecorder recorder(folder.path,
                              program.space.dof_handler,
                              names,
                              data);
    loop(0.5, recorder);
    // Begun in vain, as by a program that first refines its mesh.
    recorder.begin({1., 1.});
    recorder.step(0., program.field(Plane(7., 7., 7.)));
    recorder.step(0.1, program.field(Plane(7., 7., 7.)));
    for (const double a : {1., 1.5, 2., 2.5})
      {
        EXPECT_FALSE(recorder.has({a, 1.}));
        loop(a, recorder);
      }
    EXPECT_TRUE(recorder.has({2., 1.}));
  }
  // An exception in the time loop of the next.
  EXPECT_EQ(message_of([&]() {
              SnapshotRecorder recorder(folder.path,
                                        program.space.dof_handler,
                                        names,
                                        data);
              EXPECT_TRUE(recorder.has({2.5, 1.}));
              loop(2.5, recorder); // there already
              recorder.begin({3., 1.});
              for (long k = 0; k < 7; ++k)
                recorder.step(0.1 * k, program.field(state(3., 0.1 * k)));
              throw std::runtime_error("diverged");
            }),
            "diverged");
  MPI_Barrier(communicator);

  const SnapshotReader reader(folder / "snapshots");
  EXPECT_EQ(reader.trajectory_ids(), (std::vector<long>{0, 1, 2, 3, 4}));
  for (const auto &name : files_in(folder / "snapshots"))
    EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
  for (long id = 0; id < 5; ++id)
    {
      const double a = 0.5 + 0.5 * id;
      EXPECT_EQ(reader.trajectory_parameters(id)[0].template item<double>(), a);
      ASSERT_EQ(reader.times(id).numel(), 7);
      const auto states = reader.read_steps(id, 0, 7);
      for (long k = 0; k < 7; ++k)
        EXPECT_TRUE(torch::equal(program.mine(states)[k],
                                 program.values(state(a, 0.1 * k))));
    }

  // Whole trajectories are held out: one of five.
  const auto task = TrainingTask::read(folder / "training.json");
  EXPECT_EQ(task.trajectories, "pairs");
  EXPECT_EQ(task.training_samples.size(), 4 * 6u);
  EXPECT_EQ(task.held_out_samples.size(), 6u);
  std::vector<long> held_out;
  for (const long id : task.held_out_samples)
    held_out.push_back(id / SnapshotReader::max_steps);
  EXPECT_EQ(held_out, std::vector<long>(6, held_out[0]));
  EXPECT_EQ(task.inputs.back().name, "time");
  EXPECT_EQ(task.inputs.size(), 3u);
  const auto store = task.open_store();
  task.check_snapshots(store);
}



TEST(SnapshotRecorder, MeshesThatChange)
{
  const ScratchFolder        folder;
  const Program<Distributed> program(MPI_COMM_WORLD, 1);
  const Plane                plane(2., -1., 3.);

  // A program of which each rank has all of the mesh, which it refines.
  Triangulation<2> moment;
  GridGenerator::hyper_L(moment);
  moment.refine_global(1);
  DoFHandler<2> dof_handler(moment);
  dof_handler.distribute_dofs(FE_Q<2>(1));
  Vector<double> solution(dof_handler.n_dofs());
  const auto     interpolate = [&]() {
    solution.reinit(dof_handler.n_dofs());
    VectorTools::interpolate(dof_handler, plane, solution);
  };
  interpolate();

  {
    SnapshotRecorder fixed(folder / "fixed", program.space.dof_handler);
    SnapshotRecorder own(folder / std::to_string(rank()), dof_handler);
    fixed.step(0., dof_handler, solution);
    own.step(0., solution);
    moment.begin_active()->set_refine_flag();
    moment.execute_coarsening_and_refinement();
    dof_handler.distribute_dofs(FE_Q<2>(1));
    interpolate();
    fixed.step(1., dof_handler, solution);
    fixed.step(2., dof_handler, solution);
    expect_sentence(message_of([&]() { own.step(1., solution); }),
                    {"the mesh of the recorded fields", "of its own"});
    expect_sentence(message_of([&]() { own.record({}, solution); }),
                    {"the mesh of the recorded fields"});
    const Vector<double> small(3);
    expect_sentence(message_of([&]() { fixed.step(3., dof_handler, small); }),
                    {"number of a field's values is '3'"});
  }
  MPI_Barrier(MPI_COMM_WORLD);
  // Linear fields are what they were, on any mesh.
  const SnapshotReader reader(folder / "fixed/snapshots");
  ASSERT_EQ(reader.trajectory_ids(), std::vector<long>{0});
  const auto states = reader.read_steps(0, 0, 3);
  for (long k = 0; k < 3; ++k)
    EXPECT_LT((program.mine(states)[k] - program.values(plane))
                .abs()
                .max()
                .item<double>(),
              1e-12);
  EXPECT_EQ(reader.times(0)[2].item<double>(), 2.);
}



TEST(SnapshotRecorder, MistakesAreSaid)
{
  const ScratchFolder        folder;
  const Program<Distributed> program(MPI_COMM_WORLD), finer(MPI_COMM_WORLD, 2);
  const auto                &dof_handler = program.space.dof_handler;
  const auto                 field       = program.field(Plane(1., 1., 1.));
  {
    SnapshotRecorder recorder(folder.path, dof_handler, names);
    expect_sentence(message_of([&]() { recorder.record({1.}, field); }),
                    {"number of recorded parameters is '1'", "valid is 2"});
    expect_sentence(message_of([&]() {
                      recorder.begin({1., NAN});
                    }),
                    {"recorded parameter is 'nan'"});
    expect_sentence(message_of([&]() {
                      recorder.record({1., 2.}, finer.field(Plane(1., 1., 1.)));
                    }),
                    {"number of a field's values"});
    recorder.record({1., 2.}, field);
  }
  // A store belongs to a mesh and to parameters.
  expect_sentence(message_of([&]() {
                    SnapshotRecorder(folder.path,
                                     finer.space.dof_handler,
                                     names);
                  }),
                  {"'problem'", "valid is"});
  expect_sentence(message_of([&]() {
                    SnapshotRecorder(folder.path, dof_handler, {"a", "c"});
                  }),
                  {"'problem'", "valid is"});
  SnapshotRecorderData data;
  data.trajectories = "movies";
  expect_sentence(message_of([&]() {
                    SnapshotRecorder(folder / "other",
                                     dof_handler,
                                     names,
                                     data);
                  }),
                  {"'movies'", "states, pairs"});
  expect_sentence(message_of([&]() {
                    SnapshotRecorder("/proc/nowhere", dof_handler, names);
                  }),
                  {"/proc/nowhere"});
}
