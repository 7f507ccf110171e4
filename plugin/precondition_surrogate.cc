// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/coupling/mpi_tools.h>
#include <neuraldeal/plugin/local_vector.h>
#include <neuraldeal/plugin/precondition_surrogate.h>
#include <neuraldeal/surrogates/exceptions.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace neuraldeal
{
  template <typename VectorType>
  PreconditionSurrogate<VectorType>::AdditionalData::AdditionalData(
    const double minimum_gain)
    : minimum_gain(minimum_gain)
  {
    if (!(minimum_gain >= 0. && minimum_gain < 1.))
      throw InputError("the program",
                       "the minimum_gain of a PreconditionSurrogate",
                       std::to_string(minimum_gain),
                       "a number from 0 on that is below 1");
  }



  template <typename VectorType>
  PreconditionSurrogate<VectorType>::PreconditionSurrogate(
    const OperatorReference<VectorType> &matrix,
    const OperatorReference<VectorType> &inner,
    const LearnedInverse                &learned_inverse,
    const VectorType                    &x,
    const AdditionalData                &data)
    : communicator(communicator_of(x))
    , matrix(apply_to_arrays(matrix, x))
    , inner(apply_to_arrays(inner, x))
    , sum(sum_over(communicator))
    , learned_inverse(learned_inverse)
    , data(data)
  {}



  template <typename VectorType>
  double
  PreconditionSurrogate<VectorType>::evaluate(
    const VectorType          &example,
    const std::vector<double> &s,
    std::vector<double>       &z,
    std::vector<double>       &product) const
  {
    ++history.n_evaluations;
    VectorType source(example), image(example);
    set_local_values(source, s.data());
    image = 0.;
    history.failure =
      try_together([&]() { learned_inverse(image, source); }, communicator);
    if (!history.failure.empty())
      return 0.;

    get_local_values(image, z.data());
    double size = std::inner_product(z.begin(), z.end(), z.begin(), 0.);
    sum(&size, 1);
    if (!std::isfinite(size))
      {
        history.failure = "not finite";
        return 0.;
      }
    matrix(product.data(), z.data());
    double products[] = {
      std::inner_product(product.begin(), product.end(), s.begin(), 0.),
      std::inner_product(product.begin(), product.end(), product.begin(), 0.)};
    sum(products, 2);
    // By Pythagoras, as ‖s‖ = 1. No number where A z is zero.
    const double alpha = products[0] / products[1], gain = alpha * products[0];
    if (std::isfinite(alpha) && gain > 0. && gain >= data.minimum_gain)
      return alpha;
    history.failure = "it takes nothing away, or too little";
    return 0.;
  }



  template <typename VectorType>
  void
  PreconditionSurrogate<VectorType>::vmult(VectorType       &dst,
                                           const VectorType &src) const
  {
    ++history.n_applications;
    std::vector<double> r = local_values(src), z, product;
    double norm = std::inner_product(r.begin(), r.end(), r.begin(), 0.);
    sum(&norm, 1);
    norm         = std::sqrt(norm);
    double alpha = 0.;
    if (std::isfinite(norm) && norm > 0.)
      {
        if (n_to_skip > 0)
          --n_to_skip;
        else
          {
            std::vector<double> s(r);
            for (double &value : s)
              value /= norm;
            z.resize(r.size());
            product.resize(r.size());
            alpha = norm * evaluate(src, s, z, product);
            if (alpha != 0.)
              {
                ++history.n_used;
                last_skip = 0;
              }
            else
              n_to_skip = last_skip = std::clamp(2 * last_skip, 1u, 32u);
          }
      }

    if (alpha != 0.)
      for (std::size_t i = 0; i < r.size(); ++i)
        r[i] -= alpha * product[i];
    inner(r.data(), r.data());
    if (alpha != 0.)
      for (std::size_t i = 0; i < r.size(); ++i)
        r[i] += alpha * z[i];
    set_local_values(dst, r.data());
  }



  template class PreconditionSurrogate<dealii::Vector<double>>;
  template class PreconditionSurrogate<
    dealii::LinearAlgebra::distributed::Vector<double>>;
  template class PreconditionSurrogate<dealii::TrilinosWrappers::MPI::Vector>;
  template class PreconditionSurrogate<dealii::PETScWrappers::MPI::Vector>;
  template class PreconditionSurrogate<dealii::BlockVector<double>>;
  template class PreconditionSurrogate<
    dealii::LinearAlgebra::distributed::BlockVector<double>>;
  template class PreconditionSurrogate<
    dealii::TrilinosWrappers::MPI::BlockVector>;
  template class PreconditionSurrogate<dealii::PETScWrappers::MPI::BlockVector>;
} // namespace neuraldeal
