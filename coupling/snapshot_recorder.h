// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_snapshot_recorder_h
#define neuraldeal_coupling_snapshot_recorder_h

#include <deal.II/dofs/dof_handler.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /** The parameters of a SnapshotRecorder; its AdditionalData. */
  struct SnapshotRecorderData
  {
    /** Texts for those who read the store; may be empty. */
    std::vector<std::string> parameter_units, field_names, field_units;

    /** Goes into every file. */
    std::string provenance;

    /** Steps that are held in memory, and written together. */
    unsigned int steps_in_memory = 8;

    /** What `training.json` is to train, a name of SurrogateRegistry. */
    std::string surrogate = "POD kernel regression";

    /**
     * What it learns from trajectories: "states" (the parameters and the
     * time → the state) or "pairs" (and the state before → the state).
     */
    std::string trajectories = "states";

    /** Share of the samples that is held out, and the seed of the choice. */
    double        held_out = 0.25;
    std::uint64_t seed     = 1;
  };

  /**
   * Records what a program computes, from within its own loops: no callbacks,
   * nothing that the program has to be cut into. In a loop over parameters
   *
   * @code
   *   SnapshotRecorder recorder("recorded", dof_handler, {"viscosity"});
   *   for (const double viscosity : viscosities)
   *     {
   *       … // as ever
   *       recorder.record({viscosity}, solution);
   *     }
   * @endcode
   *
   * and in a loop over time, once or for each parameter,
   *
   * @code
   *   recorder.begin({viscosity});
   *   for (; time <= end_time; time += time_step)
   *     {
   *       … // as ever
   *       recorder.step(time, solution);
   *     }
   * @endcode
   *
   * The folder then has a snapshot store in `snapshots/` (see SnapshotReader)
   * and, when the recorder is finished or goes out of scope, `training.json`,
   * from which `neuraldeal-train` makes a surrogate. Each sample is in the
   * store as soon as it is recorded, each trajectory when the next one begins;
   * whenever the program dies, either is there whole or not at all. What is
   * there is not recorded again: a program that is started again goes on
   * where it was, faster if it asks has().
   *
   * In serial programs and in parallel ones. Where nobody has initialized
   * MPI, which the libraries beneath want, the recorder does, before anything
   * else and until the program ends; a program with a MPI_InitFinalize of its
   * own must have it before its recorder.
   *
   * All members but has() are collective over the ranks of the mesh. What
   * they throw, they throw on all of them, and says in one sentence what is
   * wrong.
   */
  class SnapshotRecorder
  {
  public:
    using AdditionalData = SnapshotRecorderData;

    /**
     * @param folder is made where it is not there.
     * @param dof_handler of the fields that are stored, a Lagrange element,
     * with its degrees of freedom distributed; has to outlive the recorder.
     * Its mesh must stay as it is (see step()).
     * @param parameter_names one for each entry of what record() and begin()
     * are told; may be empty.
     * @throw FileError where what is in the folder is damaged or of another
     * mesh, element or parameters.
     */
    template <int dim>
    SnapshotRecorder(const std::string              &folder,
                     const dealii::DoFHandler<dim>  &dof_handler,
                     const std::vector<std::string> &parameter_names = {},
                     const AdditionalData           &data = AdditionalData());

    /**
     * finish(), where no exception is on its way; what that throws is
     * printed. A trajectory that an exception has cut short is not recorded.
     */
    ~SnapshotRecorder();

    SnapshotRecorder(const SnapshotRecorder &) = delete;
    SnapshotRecorder &
    operator=(const SnapshotRecorder &) = delete;

    /** Whether a sample or a whole trajectory of these parameters is there. */
    bool
    has(const std::vector<double> &parameters) const;

    /**
     * Record a solution.
     * @return whether it was new: one of the same parameters is left alone.
     */
    template <typename VectorType>
    bool
    record(const std::vector<double> &parameters, const VectorType &solution);

    /** Record a solution on another mesh, see step(). */
    template <int dim, typename VectorType>
    bool
    record(const std::vector<double>     &parameters,
           const dealii::DoFHandler<dim> &dof_handler,
           const VectorType              &solution);

    /**
     * From here on, step() is told the states of the trajectory with these
     * parameters. The one before is whole and is written; where it had the
     * same parameters, it was begun in vain and is dropped. Of a trajectory
     * that is there already the steps are ignored.
     */
    void
    begin(const std::vector<double> &parameters);

    /**
     * Record the state at @p time, in increasing order. Without begin() there
     * is one trajectory, without parameters.
     *
     * Where the program's mesh has changed, this is an error, since fields of
     * several meshes are nothing to learn from: let the recorder have a
     * DoFHandler of a mesh of its own, which does not change and covers the
     * same domain, and tell it with each step which one the solution is of.
     * The solution is interpolated to that mesh then.
     */
    template <typename VectorType>
    void
    step(const double time, const VectorType &solution);

    /**
     * Record the state at @p time of a program whose mesh is another one than
     * the recorder's, and may change.
     * @param dof_handler that @p solution belongs to, as many components as
     * the recorder's. Each rank has to have all of its cells (as in a serial
     * program).
     */
    template <int dim, typename VectorType>
    void
    step(const double                   time,
         const dealii::DoFHandler<dim> &dof_handler,
         const VectorType              &solution);

    /**
     * Write the trajectory that is open, the index of the store, and
     * `training.json` where there is enough to train on: at least three
     * samples. There are no coarse solutions: but for a neural operator, which
     * needs none, the prior of solutions and states is a constant of their size
     * (entry `prior`), and initial states that are zero are left out. Of
     * several trajectories whole ones are held out, of a single one some steps.
     */
    void
    finish();

    /** What is held of steps in memory, on this rank, in bytes. */
    std::size_t
    memory_consumption() const;

  private:
    class Implementation;
    std::unique_ptr<Implementation> implementation;

    /** The exceptions on their way when the recorder was made. */
    const int n_exceptions;
  };
} // namespace neuraldeal

#endif
