// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_operator_reference_h
#define neuraldeal_plugin_operator_reference_h

#include <functional>
#include <type_traits>

namespace neuraldeal
{
  /**
   * A reference to a matrix or a preconditioner of any class, of which only
   * the product with a vector is used. What takes one need not be a
   * template over the class, and is compiled once.
   */
  template <typename VectorType>
  class OperatorReference
  {
  public:
    /** To @p matrix, which must outlive this object. */
    template <typename MatrixType,
              typename = std::enable_if_t<
                !std::is_same_v<MatrixType, OperatorReference>>>
    OperatorReference(const MatrixType &matrix)
      : product([&matrix](VectorType &dst, const VectorType &src) {
        matrix.vmult(dst, src);
      })
    {}

    /** @p dst becomes the product with @p src. */
    void
    vmult(VectorType &dst, const VectorType &src) const
    {
      product(dst, src);
    }

  private:
    std::function<void(VectorType &, const VectorType &)> product;
  };
} // namespace neuraldeal

#endif
