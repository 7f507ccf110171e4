// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/solution_basis.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <array>
#include <list>
#include <map>

namespace neuraldeal
{
  template <typename VectorType>
  SolutionBasis<VectorType>::AdditionalData::AdditionalData(
    const unsigned int max_size,
    const bool         constant_matrix,
    const double       forgetting)
    : max_size(max_size)
    , constant_matrix(constant_matrix)
    , forgetting(forgetting)
  {
    if (max_size == 0)
      throw InputError("the program",
                       "the size of a SolutionBasis",
                       std::to_string(max_size),
                       "a positive number");
    if (!(forgetting > 0. && forgetting <= 1.))
      throw InputError("the program",
                       "the forgetting of a SolutionBasis",
                       std::to_string(forgetting),
                       "a number above 0, up to 1");
  }



  template <typename VectorType>
  bool
  SolutionBasis<VectorType>::AdditionalData::operator!=(
    const AdditionalData &other) const
  {
    return max_size != other.max_size ||
           constant_matrix != other.constant_matrix ||
           forgetting != other.forgetting;
  }



  template <typename VectorType>
  SolutionBasis<VectorType>::SolutionBasis(const AdditionalData &data)
    : data(data)
  {}



  template <typename VectorType>
  void
  SolutionBasis<VectorType>::reinit(const VectorType &x)
  {
    // A process sees only its own part of a change, and may know the space
    // from other processes than those it works with now: all keep it, or
    // none.
    const std::size_t n_local = n_local_values(x);
    const long        learned =
      space && space->n_local() == n_local ? space->n_learned() : -1;
    const long n_directions = space ? space->directions().size() : 0;

    std::array<long, 4> state = {
      {learned, -learned, n_directions, -n_directions}};
    MPI_Allreduce(
      MPI_IN_PLACE, state.data(), 4, MPI_LONG, MPI_MAX, communicator_of(x));
    if (learned < 0 || state[0] != -state[1] || state[2] != -state[3])
      space = std::make_unique<SolutionSpace>(n_local,
                                              data.max_size,
                                              data.forgetting);
  }



  template <typename VectorType>
  bool
  SolutionBasis<VectorType>::learn(const VectorType &x)
  {
    reinit(x);
    return space->learn(local_values(x).data(), sum_over(communicator_of(x)));
  }



  template <typename VectorType>
  Projection
  SolutionBasis<VectorType>::guess(
    const OperatorReference<VectorType>   &matrix,
    const VectorType                      &b,
    VectorType                            &x,
    const Symmetry                         symmetry,
    const std::vector<const VectorType *> &candidates)
  {
    reinit(x);
    if (space->directions().empty() && candidates.empty())
      return Projection();

    const std::vector<double> right_hand_side = local_values(b);
    LocalSystem               system;
    system.apply           = apply_to_arrays(matrix, x);
    system.sum             = sum_over(communicator_of(x));
    system.right_hand_side = right_hand_side.data();
    system.symmetry        = symmetry;
    system.process         = process_number(communicator_of(x));
    if (data.constant_matrix)
      system.matrix_version = {1, 0};

    std::vector<std::vector<double>> values;
    std::vector<const double *>      pointers;
    for (const VectorType *candidate : candidates)
      values.push_back(local_values(*candidate));
    for (const auto &candidate : values)
      pointers.push_back(candidate.data());

    std::vector<double> start  = local_values(x);
    const Projection    result = space->project(system, pointers, start.data());
    if (result.method != Projection::Method::none)
      set_local_values(x, start.data());
    return result;
  }



  template <typename VectorType>
  unsigned int
  SolutionBasis<VectorType>::size() const
  {
    return space ? space->directions().size() : 0;
  }



  template <typename VectorType>
  void
  SolutionBasis<VectorType>::clear()
  {
    space.reset();
  }



  template <typename VectorType>
  std::shared_ptr<SolutionBasis<VectorType>>
  SolutionBasis<VectorType>::shared(const std::string    &name,
                                    const VectorType     &x,
                                    const AdditionalData &data)
  {
    // What all processes that share x know of it. (How it is distributed,
    // they do not: see reinit().)
    int n_processes;
    MPI_Comm_size(communicator_of(x), &n_processes);
    std::vector<std::size_t> layout = {std::size_t(n_processes)};
    if constexpr (dealii::IsBlockVector<VectorType>::value)
      for (unsigned int b = 0; b < x.n_blocks(); ++b)
        layout.push_back(x.block(b).size());
    else
      layout.push_back(x.size());

    using Bases = std::list<
      std::pair<std::vector<std::size_t>, std::shared_ptr<SolutionBasis>>>;
    static std::map<std::string, Bases> all;
    constexpr std::size_t               n_kept = 4;

    Bases &bases = all[name];
    auto   found = bases.begin();
    while (found != bases.end() && found->first != layout)
      ++found;
    if (found != bases.end() && found->second->data != data)
      {
        bases.erase(found);
        found = bases.end();
      }
    if (found == bases.end())
      {
        bases.emplace_front(layout, std::make_shared<SolutionBasis>(data));
        if (bases.size() > n_kept)
          bases.pop_back();
      }
    else
      bases.splice(bases.begin(), bases, found);
    return bases.front().second;
  }



  template class SolutionBasis<dealii::Vector<double>>;
  template class SolutionBasis<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class SolutionBasis<dealii::TrilinosWrappers::MPI::Vector>;
  template class SolutionBasis<dealii::PETScWrappers::MPI::Vector>;
  template class SolutionBasis<dealii::BlockVector<double>>;
  template class SolutionBasis<
    dealii::LinearAlgebra::distributed::BlockVector<double>>;
  template class SolutionBasis<dealii::TrilinosWrappers::MPI::BlockVector>;
  template class SolutionBasis<dealii::PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
