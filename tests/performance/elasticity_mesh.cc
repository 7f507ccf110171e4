// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "elasticity_mesh.h"

#include <algorithm>

namespace neuraldeal::performance
{
  namespace
  {
    /**
     * The values of the Lagrange polynomials of @p n_cells intervals at
     * @p n_points points, the first and every further 1 / n_parts of the
     * whole: [n_points, n_cells · degree + 1].
     */
    torch::Tensor
    lagrange(const unsigned int n_cells,
             const unsigned int degree,
             const unsigned int n_points,
             const unsigned int n_parts)
    {
      auto result =
        torch::zeros({n_points, n_cells * degree + 1}, torch::kFloat64);
      auto values = result.accessor<double, 2>();
      for (unsigned int i = 0; i < n_points; ++i)
        {
          // in integers: what is a node is one exactly
          const unsigned int cell =
            std::min(i * n_cells / n_parts, n_cells - 1);
          const double x =
            double(i * n_cells - cell * n_parts) / n_parts * degree;
          for (unsigned int k = 0; k <= degree; ++k)
            {
              double value = 1.;
              for (unsigned int other = 0; other <= degree; ++other)
                if (other != k)
                  value *= (x - other) / (double(k) - other);
              values[i][cell * degree + k] = value;
            }
        }
      return result;
    }
  } // namespace



  std::string
  ElasticityMesh::name() const
  {
    return std::to_string(n_angles) + "x" + std::to_string(n_layers) +
           ", degree " + std::to_string(degree);
  }



  torch::Tensor
  ElasticityMesh::at_vertices(const torch::Tensor  &values,
                              const ElasticityMesh &other) const
  {
    const auto outwards =
      lagrange(n_layers, degree, other.n_layers + 1, other.n_layers);
    // around, the last node is the first one
    const auto open =
      lagrange(n_angles, degree, other.n_angles, other.n_angles);
    auto around = open.narrow(1, 0, n_angle_nodes()).clone();
    around.select(1, 0).add_(open.select(1, n_angle_nodes()));
    return torch::matmul(torch::matmul(outwards.to(values.scalar_type()),
                                       values),
                         around.t().to(values.scalar_type()));
  }
} // namespace neuraldeal::performance
