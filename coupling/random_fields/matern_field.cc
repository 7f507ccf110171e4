// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/base/quadrature_lib.h>

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/fe/fe_values.h>

#include <deal.II/lac/dynamic_sparsity_pattern.h>
#include <deal.II/lac/full_matrix.h>
#include <deal.II/lac/solver_cg.h>
#include <deal.II/lac/solver_control.h>
#include <deal.II/lac/sparsity_tools.h>

#include <fmt/format.h>
#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/random_fields/matern_field.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    // What noise is for: the first words of the counters that the keys of
    // samples are made from. CounterRandom counts from zero there, so that
    // these keys are none of its numbers.
    constexpr std::uint32_t noise_of_samples       = 0xF1E1D000u;
    constexpr std::uint32_t noise_of_normalisation = 0xF1E1D001u;

    std::uint64_t
    joined_words(const std::uint32_t low, const std::uint32_t high)
    {
      return (static_cast<std::uint64_t>(high) << 32) | low;
    }
  } // namespace



  template <int dim>
  MaternField<dim>::MaternField(const DoFHandler<dim> &dof_handler,
                                const Mapping<dim>    &mapping,
                                const AdditionalData  &data,
                                const FieldTransform  &transform)
    : RandomField<dim>(dof_handler, transform)
    , tolerance(data.tolerance)
  {
    check(data);
    assemble(mapping, data.boundary == "Robin" ? kappa / 1.42 : 0.);

    TrilinosWrappers::PreconditionAMG::AdditionalData amg;
    amg.elliptic              = true;
    amg.higher_order_elements = (dof_handler.get_fe().degree > 1);
    preconditioner.initialize(matrix, amg);

    if (data.n_normalisation_samples > 0)
      normalise(data.standard_deviation, data.n_normalisation_samples);
  }



  template <int dim>
  void
  MaternField<dim>::check(const AdditionalData &data)
  {
    const auto positive = [&](const std::string &entry, const double value) {
      if (!(value > 0. && std::isfinite(value)))
        throw InputError(data.source,
                         entry,
                         fmt::format("{}", value),
                         "a finite positive number");
    };
    positive("correlation length", data.correlation_length);
    positive("standard deviation", data.standard_deviation);
    if (!(data.tolerance > 0. && data.tolerance < 1.))
      throw InputError(data.source,
                       "tolerance",
                       fmt::format("{}", data.tolerance),
                       "a number between 0 and 1");
    check_choice(data.source, "boundary", data.boundary, {"Neumann", "Robin"});

    const double roughest = 2. - 0.5 * dim;
    const double nu       = data.smoothness == 0. ? roughest : data.smoothness;
    const double n        = 1. + 0.5 * (nu - roughest);
    if (!(nu >= roughest && n == std::floor(n) && n <= 8.))
      throw InputError(data.source,
                       "smoothness",
                       fmt::format("{}", data.smoothness),
                       fmt::format("one of {}, {}, {} and so on up to {} in "
                                   "{}d, or 0 for the first of them",
                                   roughest,
                                   roughest + 2.,
                                   roughest + 4.,
                                   roughest + 14.,
                                   dim));
    n_solves = static_cast<unsigned int>(n);

    // The variance of the solution on the whole space is
    // Γ(ν) / (Γ(α) (4π)^{d/2} κ^{2ν} τ²).
    kappa = std::sqrt(8. * nu) / data.correlation_length;
    inverse_tau =
      data.standard_deviation *
      std::exp(0.5 * (std::lgamma(2. * n) - std::lgamma(nu)) +
               0.25 * dim * std::log(4. * M_PI) + nu * std::log(kappa));
  }



  template <int dim>
  void
  MaternField<dim>::assemble(const Mapping<dim> &mapping, const double robin)
  {
    const auto            &handler = *this->dof_handler;
    const auto            &fe      = handler.get_fe();
    const auto             comm    = compat::communicator(handler);
    DynamicSparsityPattern sparsity(this->relevant);
    DoFTools::make_sparsity_pattern(handler,
                                    sparsity,
                                    this->hanging_nodes,
                                    false);
    SparsityTools::distribute_sparsity_pattern(sparsity,
                                               this->owned,
                                               comm,
                                               this->relevant);
    matrix.reinit(this->owned, this->owned, sparsity, comm);
    mass.reinit(this->owned, this->owned, sparsity, comm);

    const unsigned int n_dofs    = fe.n_dofs_per_cell();
    const auto         cell_type = fe.reference_cell();
    const auto         quadrature =
      cell_type.template get_gauss_type_quadrature<dim>(fe.degree + 1);
    FEValues<dim> values(mapping,
                         fe,
                         quadrature,
                         update_values | update_gradients | update_JxW_values);
    // Cells whose faces are of several kinds are none of FE_Q or FE_SimplexP.
    FEFaceValues<dim> face_values(
      mapping,
      fe,
      cell_type.face_reference_cell(0)
        .template get_gauss_type_quadrature<dim - 1>(fe.degree + 1),
      update_values | update_JxW_values);

    FullMatrix<double> cell_matrix(n_dofs, n_dofs), cell_mass(n_dofs, n_dofs);
    std::vector<types::global_dof_index> dofs(n_dofs);
    bool                                 weights_positive = true;
    for (const auto &cell : handler.active_cell_iterators())
      if (cell->is_locally_owned())
        {
          values.reinit(cell);
          cell_matrix = 0;
          cell_mass   = 0;
          for (unsigned int q = 0; q < quadrature.size(); ++q)
            {
              weights_positive = weights_positive && values.JxW(q) > 0.;
              weights.push_back(std::sqrt(values.JxW(q)));
              for (unsigned int i = 0; i < n_dofs; ++i)
                for (unsigned int j = 0; j < n_dofs; ++j)
                  {
                    cell_mass(i, j) += values.shape_value(i, q) *
                                       values.shape_value(j, q) * values.JxW(q);
                    cell_matrix(i, j) += values.shape_grad(i, q) *
                                         values.shape_grad(j, q) *
                                         values.JxW(q);
                  }
            }
          cell_matrix.add(kappa * kappa, cell_mass);

          if (robin > 0.)
            for (const auto f : cell->face_indices())
              if (cell->face(f)->at_boundary())
                {
                  face_values.reinit(cell, f);
                  for (const auto q : face_values.quadrature_point_indices())
                    for (unsigned int i = 0; i < n_dofs; ++i)
                      for (unsigned int j = 0; j < n_dofs; ++j)
                        cell_matrix(i, j) +=
                          robin * face_values.shape_value(i, q) *
                          face_values.shape_value(j, q) * face_values.JxW(q);
                }

          cell->get_dof_indices(dofs);
          this->hanging_nodes.distribute_local_to_global(cell_matrix,
                                                         dofs,
                                                         matrix);
          this->hanging_nodes.distribute_local_to_global(cell_mass, dofs, mass);

          const auto name = cell->id().template to_binary<dim>();
          cell_names.push_back({{name[0], name[1], name[2], name[3]}});
        }
    matrix.compress(VectorOperation::add);
    mass.compress(VectorOperation::add);
    AssertThrow(Utilities::MPI::min(int(weights_positive), comm) == 1,
                ExcMessage("White noise needs cells and a quadrature with "
                           "positive weights."));

    shape_values.resize(quadrature.size(), std::vector<double>(n_dofs));
    for (unsigned int q = 0; q < quadrature.size(); ++q)
      for (unsigned int i = 0; i < n_dofs; ++i)
        shape_values[q][i] = fe.shape_value(i, quadrature.point(q));
  }



  template <int dim>
  std::vector<double>
  MaternField<dim>::make_noise(const std::uint32_t         purpose,
                               const std::uint64_t         seed,
                               const CounterRandom::Stream stream,
                               const std::uint64_t         index) const
  {
    // A key for the sample; and, under it, one for each cell. Philox is a
    // bijection, so that no two cells of a sample share theirs.
    const auto          key = philox4x32({{purpose,
                                           static_cast<std::uint32_t>(stream),
                                           static_cast<std::uint32_t>(index),
                                           static_cast<std::uint32_t>(index >> 32)}},
                                {{static_cast<std::uint32_t>(seed),
                                           static_cast<std::uint32_t>(seed >> 32)}});
    std::vector<double> noise;
    noise.reserve(weights.size());
    for (const auto &name : cell_names)
      {
        const auto    words = philox4x32(name, {{key[0], key[1]}});
        CounterRandom random(joined_words(words[0], words[1]),
                             stream,
                             joined_words(words[2], words[3]));
        for (std::size_t q = 0; q < shape_values.size(); ++q)
          noise.push_back(random.normal());
      }
    return noise;
  }



  template <int dim>
  void
  MaternField<dim>::solve(const Vector &right_hand_side, Vector &solution) const
  {
    solution = 0.;
    ReductionControl control(1000, 1e-300, tolerance);
    SolverCG<Vector> cg(control);
    cg.solve(matrix, solution, right_hand_side, preconditioner);
    n_iterations = control.last_step();
    this->hanging_nodes.set_zero(solution);
  }



  template <int dim>
  void
  MaternField<dim>::solve_all(const Vector &right_hand_side,
                              Vector       &solution) const
  {
    solve(right_hand_side, solution);
    Vector next = this->make_vector();
    for (unsigned int i = 1; i < n_solves; ++i)
      {
        mass.vmult(next, solution);
        solve(next, solution);
      }
  }



  template <int dim>
  void
  MaternField<dim>::apply_noise(const std::vector<double> &noise,
                                Vector                    &field) const
  {
    AssertDimension(noise.size(), weights.size());
    const auto &handler = *this->dof_handler;
    Vector      with_ghosts(this->owned,
                       this->relevant,
                       compat::communicator(handler));

    const unsigned int     n_dofs   = handler.get_fe().n_dofs_per_cell();
    const std::size_t      n_points = shape_values.size();
    dealii::Vector<double> cell_noise(n_dofs);
    std::vector<types::global_dof_index> dofs(n_dofs);
    std::size_t                          first = 0;
    for (const auto &cell : handler.active_cell_iterators())
      if (cell->is_locally_owned())
        {
          cell_noise = 0.;
          for (std::size_t q = 0; q < n_points; ++q)
            {
              const double value = weights[first + q] * noise[first + q];
              for (unsigned int i = 0; i < n_dofs; ++i)
                cell_noise[i] += value * shape_values[q][i];
            }
          first += n_points;
          cell->get_dof_indices(dofs);
          this->hanging_nodes.distribute_local_to_global(cell_noise,
                                                         dofs,
                                                         with_ghosts);
        }
    with_ghosts.compress(VectorOperation::add);

    Vector right_hand_side = this->make_vector();
    right_hand_side.copy_locally_owned_data_from(with_ghosts);
    solve_all(right_hand_side, field);
    field *= inverse_tau;
    if (scale.size() > 0)
      field.scale(scale);
  }



  template <int dim>
  void
  MaternField<dim>::apply_covariance(const Vector &functional,
                                     Vector       &result) const
  {
    Vector load = functional, adjoint = this->make_vector();
    if (scale.size() > 0)
      load.scale(scale);
    // With k solves the field is A⁻¹ (M A⁻¹)^{k−1} w / τ, and w has M.
    solve_all(load, adjoint);
    mass.vmult(load, adjoint);
    solve_all(load, result);
    result *= inverse_tau * inverse_tau;
    if (scale.size() > 0)
      result.scale(scale);
  }



  template <int dim>
  void
  MaternField<dim>::gaussian(const std::uint64_t         seed,
                             const CounterRandom::Stream stream,
                             const std::uint64_t         index,
                             Vector                     &field) const
  {
    apply_noise(make_noise(noise_of_samples, seed, stream, index), field);
  }



  template <int dim>
  void
  MaternField<dim>::normalise(const double       standard_deviation,
                              const unsigned int n_samples)
  {
    Vector sample = this->make_vector(), squares = sample;
    for (unsigned int i = 0; i < n_samples; ++i)
      {
        // Whatever the samples' seed, the normalisation is the same.
        apply_noise(make_noise(noise_of_normalisation,
                               0,
                               CounterRandom::Stream::design,
                               i),
                    sample);
        sample.scale(sample);
        squares += sample;
      }
    scale = this->make_vector();
    for (unsigned int i = 0; i < scale.locally_owned_size(); ++i)
      scale.local_element(i) =
        squares.local_element(i) > 0. ?
          standard_deviation / std::sqrt(squares.local_element(i) / n_samples) :
          0.; // at hanging nodes, whose values come from others
  }



  template class MaternField<2>;
  template class MaternField<3>;
} // namespace neuraldeal
