// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/training/norms.h>

#include <limits>

namespace neuraldeal
{
  namespace
  {
    /** Whether no entry of @p values is negative or not a number. */
    bool
    is_not_negative(const torch::Tensor &values)
    {
      return (values >= 0.).all().item<bool>();
    }



    /** The diagonal of a sparse matrix, as far as it is stored. */
    torch::Tensor
    stored_diagonal(const torch::Tensor &matrix)
    {
      const auto entries = matrix.coalesce();
      return entries.values().masked_select(
        entries.indices().select(0, 0).eq(entries.indices().select(0, 1)));
    }



    /** Up to rounding in single precision. */
    bool
    is_symmetric(const torch::Tensor &matrix)
    {
      const auto difference = (matrix - matrix.t()).coalesce().values();
      return difference.numel() == 0 ||
             (difference.abs().max() <=
              1e-5 * matrix.coalesce().values().abs().max())
               .item<bool>();
    }



    void
    check_matrix(const torch::Tensor &matrix,
                 const std::string   &source,
                 const std::string   &name)
    {
      const auto check = [&](const bool good, const std::string &found) {
        if (!good)
          throw InputError(source,
                           name,
                           found,
                           "a symmetric sparse (COO) matrix without negative "
                           "numbers on its diagonal, or such a diagonal");
      };
      check(matrix.defined(), "not given");
      const auto shape = c10::str(matrix.sizes());
      if (matrix.layout() != torch::kSparse)
        {
          check(matrix.layout() == torch::kStrided && matrix.dim() == 1,
                shape + " and not sparse");
          check(is_not_negative(matrix), "a diagonal with negative numbers");
        }
      else
        {
          check(matrix.dim() == 2 && matrix.size(0) == matrix.size(1), shape);
          check(is_not_negative(stored_diagonal(matrix)),
                "a matrix with negative numbers on its diagonal");
          check(is_symmetric(matrix), "not symmetric");
        }
    }



    /**
     * The weights of the points of a line in the trapezoidal rule, or, with
     * @p of_edges, those of its edges in the midpoint rule.
     */
    torch::Tensor
    line_weights(const long                  n_points,
                 const double                h,
                 const bool                  periodic,
                 const bool                  of_edges,
                 const torch::TensorOptions &options)
    {
      auto weights =
        torch::full({of_edges && !periodic ? n_points - 1 : n_points},
                    h,
                    options);
      if (!of_edges && !periodic)
        {
          weights[0] *= 0.5;
          weights[n_points - 1] *= 0.5;
        }
      return weights;
    }
  } // namespace



  SquaredNorm
  mean_square()
  {
    return [](const torch::Tensor &fields) {
      const long n_values   = fields.numel() / fields.size(0);
      const long n_channels = fields.dim() > 1 ? fields.size(1) : 1;
      return fields.reshape({fields.size(0), n_values}).square().sum(1) *
             (double(n_channels) / double(n_values));
    };
  }



  SquaredNorm
  quadratic_form(const torch::Tensor &matrix,
                 const std::string   &source,
                 const std::string   &name)
  {
    check_matrix(matrix, source, name);
    return [matrix, source, name](const torch::Tensor &fields) {
      const long n_rows   = matrix.size(0);
      const long n_values = fields.numel() / fields.size(0);
      if (n_rows != n_values && n_rows * fields.size(1) != n_values)
        throw InputError(source,
                         name,
                         "of size " + std::to_string(n_rows),
                         c10::str("one of the size of the points or values of "
                                  "fields ",
                                  fields.sizes()));
      const auto a    = matrix.to(fields.device(), fields.scalar_type());
      const auto rows = fields.reshape({-1, n_rows});
      const auto product =
        a.dim() == 1 ? rows * a : torch::mm(a, rows.t().contiguous()).t();
      return (rows * product).reshape({fields.size(0), n_values}).sum(1);
    };
  }



  SquaredNorm
  sum(const SquaredNorm &a, const double weight, const SquaredNorm &b)
  {
    return [a, weight, b](const torch::Tensor &fields) {
      return a(fields) + weight * b(fields);
    };
  }



  SquaredNorm
  grid_h1(const double               gradient_weight,
          const bool                 periodic,
          const std::vector<double> &spacing,
          const std::string         &source)
  {
    return [=](const torch::Tensor &fields) {
      const long dim = fields.dim() - 2;
      if (dim < 1 || dim > 3 ||
          (!spacing.empty() && long(spacing.size()) != dim))
        throw InputError(source,
                         "a norm of fields on grids",
                         c10::str("applied to the shape ", fields.sizes()),
                         spacing.empty() ?
                           "[n, channels, points, …] with one to three "
                           "directions" :
                           "[n, channels, points, …] with " +
                             std::to_string(spacing.size()) + " directions");

      std::vector<double> h = spacing;
      for (long j = 0; j < dim; ++j)
        {
          const long s = fields.size(2 + j);
          if (s < 2)
            throw InputError(source,
                             "the number of points in a direction of a grid",
                             std::to_string(s),
                             "two or more");
          if (spacing.empty())
            h.push_back(1. / double(periodic ? s : s - 1));
        }

      // The integral of squares in the points or, in direction @p edges, in
      // the middle of the edges. No matrix products: mixed precision would
      // round their factors.
      const auto integrate = [&](const torch::Tensor &values,
                                 const long           edges) {
        auto squares = values.square().sum(1);
        for (long j = dim - 1; j >= 0; --j)
          squares =
            (squares * line_weights(fields.size(2 + j),
                                    h[j],
                                    periodic,
                                    j == edges,
                                    squares.options().requires_grad(false)))
              .sum(-1);
        return squares;
      };

      auto result = integrate(fields, -1);
      for (long j = 0; j < dim; ++j)
        {
          const auto difference =
            periodic ? fields.roll(-1, 2 + j) - fields :
                       fields.slice(2 + j, 1) - fields.slice(2 + j, 0, -1);
          result =
            result + gradient_weight / (h[j] * h[j]) * integrate(difference, j);
        }
      return result;
    };
  }



  torch::Tensor
  root(const torch::Tensor &squares)
  {
    const auto zero = squares <= double(std::numeric_limits<float>::min());
    return squares.masked_fill(zero, 1.).sqrt().masked_fill(zero, 0.);
  }
} // namespace neuraldeal
