// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <deal.II/dofs/dof_tools.h>

#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <neuraldeal/coupling/compat.h>
#include <neuraldeal/coupling/random_fields/cosine_expansion.h>
#include <neuraldeal/coupling/random_fields/matern_field.h>
#include <neuraldeal/coupling/random_fields/random_field.h>
#include <neuraldeal/coupling/random_fields/separable_expansion.h>
#include <neuraldeal/coupling/registry_parameters.h>
#include <neuraldeal/coupling/torch_interface.h>
#include <neuraldeal/coupling/vector_access.h>
#include <neuraldeal/surrogates/covariance_kernel.h>

#include <limits>
#include <map>

namespace neuraldeal
{
  using namespace dealii;

  namespace
  {
    /** An expansion at the support points of a mesh. */
    template <int dim, typename ExpansionType>
    class ExpandedField : public RandomField<dim>
    {
    public:
      using typename RandomField<dim>::Vector;

      ExpandedField(const DoFHandler<dim>                        &dof_handler,
                    const Mapping<dim>                           &mapping,
                    const typename ExpansionType::AdditionalData &data,
                    const FieldTransform                         &transform)
        : RandomField<dim>(dof_handler, transform)
        , expansion(corner(-1., dof_handler, mapping),
                    corner(1., dof_handler, mapping),
                    data)
      {
        std::map<types::global_dof_index, Point<dim>> all;
        DoFTools::map_dofs_to_support_points(mapping, dof_handler, all);
        for (const auto i : this->owned)
          points.push_back(all.at(i));
      }

    protected:
      virtual void
      gaussian(const std::uint64_t         seed,
               const CounterRandom::Stream stream,
               const std::uint64_t         index,
               Vector                     &field) const override
      {
        const auto coefficients = expansion.draw(seed, stream, index);
        for (std::size_t i = 0; i < points.size(); ++i)
          field.local_element(i) = expansion.value(coefficients, points[i]);
      }

    private:
      /** The corner of the mesh's box that is furthest down or up. */
      static Point<dim>
      corner(const double           sign,
             const DoFHandler<dim> &dof_handler,
             const Mapping<dim>    &mapping)
      {
        Point<dim> result;
        for (unsigned int d = 0; d < dim; ++d)
          result[d] = -std::numeric_limits<double>::max();
        for (const auto &cell : dof_handler.active_cell_iterators())
          if (cell->is_locally_owned())
            for (const auto &vertex : mapping.get_vertices(cell))
              for (unsigned int d = 0; d < dim; ++d)
                result[d] = std::max(result[d], sign * vertex[d]);
        for (unsigned int d = 0; d < dim; ++d)
          result[d] =
            sign *
            Utilities::MPI::max(result[d], compat::communicator(dof_handler));
        return result;
      }

      const ExpansionType     expansion;
      std::vector<Point<dim>> points; ///< of the owned entries
    };
  } // namespace



  template <int dim>
  RandomField<dim>::RandomField(const DoFHandler<dim> &dof_handler,
                                const FieldTransform  &transform)
    : dof_handler(&dof_handler)
    , owned(dof_handler.locally_owned_dofs())
    , field_transform(transform)
  {
    const auto &fe = dof_handler.get_fe();
    AssertThrow(fe.n_components() == 1 && fe.has_support_points() &&
                  fe.conforms(FiniteElementData<dim>::H1),
                ExcMessage("The element " + fe.get_name() +
                           " is not a scalar, continuous Lagrange element; "
                           "random fields are functions of such ones."));
    DoFTools::extract_locally_relevant_dofs(dof_handler, relevant);
    hanging_nodes.reinit(relevant);
    DoFTools::make_hanging_node_constraints(dof_handler, hanging_nodes);
    hanging_nodes.close();
  }



  template <int dim>
  typename RandomField<dim>::Vector
  RandomField<dim>::make_vector() const
  {
    return Vector(owned, compat::communicator(*dof_handler));
  }



  template <int dim>
  template <typename VectorType>
  void
  RandomField<dim>::fill(const std::uint64_t                        seed,
                         const CounterRandom::Stream                stream,
                         const std::uint64_t                        index,
                         const std::function<double(const double)> &change,
                         VectorType                                &field) const
  {
    AssertDimension(field.size(), dof_handler->n_dofs());
    Vector values = make_vector();
    gaussian(seed, stream, index, values);
    write_local(field, [&](double *const local) {
      for (unsigned int i = 0; i < values.locally_owned_size(); ++i)
        local[i] =
          change ? change(values.local_element(i)) : values.local_element(i);
    });
    hanging_nodes.distribute(field);
  }



  template <int dim>
  template <typename VectorType>
  void
  RandomField<dim>::draw(const std::uint64_t         seed,
                         const CounterRandom::Stream stream,
                         const std::uint64_t         index,
                         VectorType                 &field) const
  {
    fill(seed, stream, index, field_transform, field);
  }



  template <int dim>
  template <typename VectorType>
  void
  RandomField<dim>::draw_gaussian(const std::uint64_t         seed,
                                  const CounterRandom::Stream stream,
                                  const std::uint64_t         index,
                                  VectorType                 &field) const
  {
    fill(seed, stream, index, {}, field);
  }



  template <int dim>
  void
  register_random_fields()
  {
    const double largest = 1e300, smallest = 1e-300;
    const typename MaternField<dim>::AdditionalData matern_defaults;
    static const typename RandomFieldRegistry<dim>::Registration matern(
      "Matern",
      "Matern's covariance on any mesh, by a stochastic differential equation.",
      {{"correlation length",
        matern_defaults.correlation_length,
        smallest,
        largest,
        "Distance at which the correlation is 0.14, in units of the mesh."},
       {"standard deviation",
        matern_defaults.standard_deviation,
        smallest,
        largest,
        "Of the Gaussian field."},
       {"smoothness",
        matern_defaults.smoothness,
        0.,
        16.,
        "1, 3, 5 in 2d, 0.5, 2.5, 4.5 in 3d; 0 is the smallest of them."},
       {"boundary",
        matern_defaults.boundary,
        0,
        0,
        "Robin, which takes most of the boundary's effect on the variance "
        "away, or Neumann."},
       {"normalisation samples",
        matern_defaults.n_normalisation_samples,
        0,
        1e6,
        "Samples that normalise the variance at each point; 0 for none."},
       {"tolerance",
        matern_defaults.tolerance,
        1e-16,
        0.1,
        "Relative residual of the solves."}},
      [](const DoFHandler<dim> &dof_handler,
         const Mapping<dim>    &mapping,
         const FieldTransform  &transform,
         const nlohmann::json  &given,
         const std::string     &source) {
        typename MaternField<dim>::AdditionalData data;
        data.correlation_length      = given["correlation length"];
        data.standard_deviation      = given["standard deviation"];
        data.smoothness              = given["smoothness"];
        data.boundary                = given["boundary"];
        data.n_normalisation_samples = given["normalisation samples"];
        data.tolerance               = given["tolerance"];
        data.source                  = source;
        return std::make_unique<MaternField<dim>>(dof_handler,
                                                  mapping,
                                                  data,
                                                  transform);
      });

    const typename CosineExpansion<dim>::AdditionalData cosine_defaults;
    static const typename RandomFieldRegistry<dim>::Registration cosine(
      "cosine",
      "A Karhunen-Loeve expansion in cosines, on the box around the mesh.",
      {{"scale",
        cosine_defaults.scale,
        smallest,
        largest,
        "Sigma of the covariance sigma^2 (kappa^2 - Laplace)^-alpha."},
       {"inverse length",
        cosine_defaults.inverse_length,
        smallest,
        largest,
        "Kappa, in one over units of the mesh."},
       {"exponent", cosine_defaults.exponent, 0., 100., "Alpha."},
       {"modes per direction",
        cosine_defaults.n_per_direction,
        1,
        1e6,
        "Frequencies in each direction, zero included."},
       {"modes",
        cosine_defaults.n_modes,
        0,
        1e9,
        "How many of these, the largest variance first; 0 for all."},
       {"constant mode",
        cosine_defaults.constant_mode,
        0,
        0,
        "Whether the field has a random mean."}},
      [](const DoFHandler<dim> &dof_handler,
         const Mapping<dim>    &mapping,
         const FieldTransform  &transform,
         const nlohmann::json  &given,
         const std::string     &source) {
        typename CosineExpansion<dim>::AdditionalData data;
        data.scale           = given["scale"];
        data.inverse_length  = given["inverse length"];
        data.exponent        = given["exponent"];
        data.n_per_direction = given["modes per direction"];
        data.n_modes         = given["modes"];
        data.constant_mode   = given["constant mode"];
        data.source          = source;
        return std::make_unique<ExpandedField<dim, CosineExpansion<dim>>>(
          dof_handler, mapping, data, transform);
      });

    const typename SeparableExpansion<dim>::AdditionalData separable_defaults;
    static const typename RandomFieldRegistry<dim>::Registration separable(
      "separable",
      "A Karhunen-Loeve expansion of a covariance that is a product over the "
      "directions, on the box around the mesh.",
      {{"correlation length",
        separable_defaults.correlation_length,
        smallest,
        largest,
        "In units of the mesh."},
       {"standard deviation",
        separable_defaults.standard_deviation,
        smallest,
        largest,
        "Of the Gaussian field."},
       {"covariance",
        separable_defaults.covariance,
        0,
        0,
        "Of a direction: " + CovarianceKernel::shapes() + "."},
       {"modes per direction",
        separable_defaults.n_per_direction,
        1,
        500,
        "Eigenfunctions in each direction."},
       {"modes",
        separable_defaults.n_modes,
        0,
        1e9,
        "How many products of these, the largest variance first; 0 for all."}},
      [](const DoFHandler<dim> &dof_handler,
         const Mapping<dim>    &mapping,
         const FieldTransform  &transform,
         const nlohmann::json  &given,
         const std::string     &source) {
        typename SeparableExpansion<dim>::AdditionalData data;
        data.correlation_length = given["correlation length"];
        data.standard_deviation = given["standard deviation"];
        data.covariance         = given["covariance"];
        data.n_per_direction    = given["modes per direction"];
        data.n_modes            = given["modes"];
        data.source             = source;
        return std::make_unique<ExpandedField<dim, SeparableExpansion<dim>>>(
          dof_handler, mapping, data, transform);
      });
  }



  template <int dim>
  std::unique_ptr<RandomField<dim>>
  make_random_field(const std::string     &type,
                    const nlohmann::json  &parameters,
                    const std::string     &source,
                    const DoFHandler<dim> &dof_handler,
                    const Mapping<dim>    &mapping,
                    const FieldTransform  &transform)
  {
    register_random_fields<dim>();
    const auto &entry = RandomFieldRegistry<dim>::find(source, "Type", type);
    return entry.factory(dof_handler,
                         mapping,
                         transform,
                         complete_parameters(entry.parameters,
                                             parameters,
                                             source),
                         source);
  }



  template <int dim>
  void
  declare_random_field(ParameterHandler &prm)
  {
    register_random_fields<dim>();
    register_field_transforms();
    prm.declare_entry("Type",
                      "Matern",
                      Patterns::Anything(),
                      "The Gaussian field, one of: " +
                        RandomFieldRegistry<dim>::names() + ".");
    prm.declare_entry("Transform",
                      "affine",
                      Patterns::Anything(),
                      "What becomes of its values, one of: " +
                        FieldTransformRegistry::names() + ".");
    declare_classes<RandomFieldRegistry<dim>>(prm);
    declare_classes<FieldTransformRegistry>(prm);
  }



  template <int dim>
  std::unique_ptr<RandomField<dim>>
  make_random_field(ParameterHandler      &prm,
                    const std::string     &source,
                    const DoFHandler<dim> &dof_handler,
                    const Mapping<dim>    &mapping)
  {
    const std::string type = prm.get("Type"), transform = prm.get("Transform");
    const auto        field_parameters =
      parse_class<RandomFieldRegistry<dim>>(prm, source, "Type", type);
    const auto transform_parameters =
      parse_class<FieldTransformRegistry>(prm, source, "Transform", transform);
    return make_random_field<dim>(type,
                                  field_parameters,
                                  source,
                                  dof_handler,
                                  mapping,
                                  make_field_transform(transform,
                                                       transform_parameters,
                                                       source));
  }



#define NEURALDEAL_INSTANTIATE_VECTOR(dim, VectorType)                       \
  template void RandomField<dim>::draw(const std::uint64_t,                  \
                                       const CounterRandom::Stream,          \
                                       const std::uint64_t,                  \
                                       VectorType &) const;                  \
  template void RandomField<dim>::draw_gaussian(const std::uint64_t,         \
                                                const CounterRandom::Stream, \
                                                const std::uint64_t,         \
                                                VectorType &) const;

#define NEURALDEAL_INSTANTIATE_DIMENSION(dim)                               \
  template class RandomField<dim>;                                          \
  template void register_random_fields<dim>();                              \
  template void declare_random_field<dim>(ParameterHandler &);              \
  template std::unique_ptr<RandomField<dim>> make_random_field(             \
    const std::string &,                                                    \
    const nlohmann::json &,                                                 \
    const std::string &,                                                    \
    const DoFHandler<dim> &,                                                \
    const Mapping<dim> &,                                                   \
    const FieldTransform &);                                                \
  template std::unique_ptr<RandomField<dim>> make_random_field(             \
    ParameterHandler &,                                                     \
    const std::string &,                                                    \
    const DoFHandler<dim> &,                                                \
    const Mapping<dim> &);                                                  \
  NEURALDEAL_INSTANTIATE_VECTOR(dim, dealii::Vector<double>)                \
  NEURALDEAL_INSTANTIATE_VECTOR(dim,                                        \
                                LinearAlgebra::distributed::Vector<double>) \
  NEURALDEAL_INSTANTIATE_VECTOR(dim, TrilinosWrappers::MPI::Vector)         \
  NEURALDEAL_INSTANTIATE_VECTOR(dim, PETScWrappers::MPI::Vector)

  NEURALDEAL_INSTANTIATE_DIMENSION(2)
  NEURALDEAL_INSTANTIATE_DIMENSION(3)
} // namespace neuraldeal
