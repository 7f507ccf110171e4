// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_random_fields_random_field_h
#define neuraldeal_coupling_random_fields_random_field_h

#include <deal.II/base/parameter_handler.h>

#include <deal.II/dofs/dof_handler.h>

#include <deal.II/fe/mapping.h>

#include <deal.II/lac/affine_constraints.h>
#include <deal.II/lac/la_parallel_vector.h>

#include <neuraldeal/coupling/random_fields/field_transform.h>
#include <neuraldeal/surrogates/random.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * A random field on the mesh of a host program, as functions of a scalar,
   * continuous finite element space: a transform of a Gaussian field with mean
   * zero, value by value. Sample i is the same on any number of ranks, up to
   * rounding or the tolerance of a solver.
   *
   * A program that takes its coefficient from a .prm file:
   * @code
   * dealii::ParameterHandler prm;
   * prm.enter_subsection("Conductivity");
   * neuraldeal::declare_random_field<dim>(prm);
   * prm.leave_subsection();
   * prm.parse_input("program.prm");
   * prm.enter_subsection("Conductivity");
   * const auto field = neuraldeal::make_random_field<dim>(
   *   prm, "program.prm", dof_handler, mapping);
   * prm.leave_subsection();
   *
   * using Stream = neuraldeal::CounterRandom::Stream;
   * for (unsigned int i = 0; i < n_samples; ++i)
   *   {
   *     field->draw(seed, Stream::design, i, conductivity); // a vector
   *     ... assemble with FEValues::get_function_values(), solve
   *   }
   * @endcode
   * with, in program.prm,
   * @code
   * subsection Conductivity
   *   set Type      = Matern
   *   set Transform = log-normal
   *   subsection Matern
   *     set Correlation length = 0.3
   *   end
   *   subsection log-normal
   *     set Factor = 0.5
   *   end
   * end
   * @endcode
   *
   * A transform that is not linear does not commute with interpolation:
   * draw() gives the finite element function of the transformed values at the
   * support points, which blurs the jumps of "threshold" over a cell. Sharp
   * ones are had from draw_gaussian(), with transform() called where the
   * coefficient is needed, at the quadrature points.
   */
  template <int dim>
  class RandomField
  {
  public:
    using Vector = dealii::LinearAlgebra::distributed::Vector<double>;

    virtual ~RandomField() = default;

    /**
     * Sample number @p index. Collective.
     * @param field of any of deal.II's algebras, with the locally owned
     * entries; hanging nodes are right afterwards.
     */
    template <typename VectorType>
    void
    draw(const std::uint64_t         seed,
         const CounterRandom::Stream stream,
         const std::uint64_t         index,
         VectorType                 &field) const;

    /** The Gaussian field behind the same sample. Collective. */
    template <typename VectorType>
    void
    draw_gaussian(const std::uint64_t         seed,
                  const CounterRandom::Stream stream,
                  const std::uint64_t         index,
                  VectorType                 &field) const;

    /** What becomes of a Gaussian value. */
    double
    transform(const double value) const
    {
      return field_transform ? field_transform(value) : value;
    }

  protected:
    /**
     * @param dof_handler of a scalar, continuous Lagrange element. Referred
     * to; the field is of no more use once its mesh has changed.
     */
    RandomField(const dealii::DoFHandler<dim> &dof_handler,
                const FieldTransform          &transform);

    /** A vector of the locally owned entries, zero. */
    Vector
    make_vector() const;

    /**
     * Fill @p field, as make_vector() gives it, with sample number @p index of
     * the Gaussian field. Entries at hanging nodes may be anything.
     */
    virtual void
    gaussian(const std::uint64_t         seed,
             const CounterRandom::Stream stream,
             const std::uint64_t         index,
             Vector                     &field) const = 0;

    const dealii::DoFHandler<dim>    *dof_handler;
    dealii::IndexSet                  owned, relevant;
    dealii::AffineConstraints<double> hanging_nodes;

  private:
    /** gaussian(), then @p change of each value, then the hanging nodes. */
    template <typename VectorType>
    void
    fill(const std::uint64_t                        seed,
         const CounterRandom::Stream                stream,
         const std::uint64_t                        index,
         const std::function<double(const double)> &change,
         VectorType                                &field) const;

    FieldTransform field_transform;
  };

  /** The fields there are. A factory takes complete parameters. */
  template <int dim>
  using RandomFieldFactory = std::function<
    std::unique_ptr<RandomField<dim>>(const dealii::DoFHandler<dim> &,
                                      const dealii::Mapping<dim> &,
                                      const FieldTransform &,
                                      const nlohmann::json &,
                                      const std::string &source)>;
  template <int dim>
  using RandomFieldRegistry =
    Registry<RandomField<dim>, RandomFieldFactory<dim>>;

  /**
   * Register the fields of this library: "Matern" (MaternField) and "cosine"
   * (CosineExpansion on the box that bounds the mesh).
   */
  template <int dim>
  void
  register_random_fields();

  /**
   * Build the field called @p type.
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   * @throw InputError for a wrong entry, on all ranks.
   */
  template <int dim>
  std::unique_ptr<RandomField<dim>>
  make_random_field(const std::string             &type,
                    const nlohmann::json          &parameters,
                    const std::string             &source,
                    const dealii::DoFHandler<dim> &dof_handler,
                    const dealii::Mapping<dim>    &mapping,
                    const FieldTransform          &transform = {});

  /**
   * Declare the entries "Type" and "Transform", and a subsection with the
   * parameters of each field and each transform, in the current subsection.
   */
  template <int dim>
  void
  declare_random_field(dealii::ParameterHandler &prm);

  /** Build what these entries say. @p source names the file. */
  template <int dim>
  std::unique_ptr<RandomField<dim>>
  make_random_field(dealii::ParameterHandler      &prm,
                    const std::string             &source,
                    const dealii::DoFHandler<dim> &dof_handler,
                    const dealii::Mapping<dim>    &mapping);
} // namespace neuraldeal

#endif
