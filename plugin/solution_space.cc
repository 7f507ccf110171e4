// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/coarse_space.h>
#include <neuraldeal/plugin/lapack.h>
#include <neuraldeal/plugin/solution_space.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    using Array    = SolutionSpace::Array;
    using Pointers = std::vector<const double *>;

    /** So many rows of all arrays fit into the cache together. */
    constexpr std::size_t block = 512;

    Pointers
    pointers(const std::vector<Array> &first,
             const std::vector<Array> &second = {})
    {
      Pointers result;
      for (const auto &v : first)
        result.push_back(v.data());
      for (const auto &v : second)
        result.push_back(v.data());
      return result;
    }

    void
    sum_over_processes(Array &numbers, const LocalSystem::Sum &sum)
    {
      sum(numbers.data(), static_cast<int>(numbers.size()));
    }

    struct SymmetricEigen
    {
      Array values;
      Array vectors; ///< one after the other
    };

    std::size_t
    small_size(const Array &matrix)
    {
      return static_cast<std::size_t>(
        std::lround(std::sqrt(static_cast<double>(matrix.size()))));
    }

    /** Eigenvalues, the smallest first, and eigenvectors. */
    SymmetricEigen
    symmetric_eigen(Array a)
    {
      const int      n = static_cast<int>(small_size(a));
      SymmetricEigen result{Array(n), {}};
      int            n_work = 40 * n + 1, info = 0;
      Array          work(n_work);
      if (n > 0)
        dsyev_("V",
               "U",
               &n,
               a.data(),
               &n,
               result.values.data(),
               work.data(),
               &n_work,
               &info);
      // What is not finite has no eigenvalues.
      if (info != 0)
        std::fill(result.values.begin(),
                  result.values.end(),
                  std::numeric_limits<double>::quiet_NaN());
      result.vectors = std::move(a);
      return result;
    }
  } // namespace



  std::vector<double>
  inner_products(const Pointers &u, const Pointers &v, const std::size_t n)
  {
    Array result(u.size() * v.size(), 0.);
    for (std::size_t begin = 0; begin < n; begin += block)
      {
        const std::size_t end = std::min(n, begin + block);
        for (std::size_t i = 0; i < u.size(); ++i)
          for (std::size_t j = 0; j < v.size(); ++j)
            {
              // Four accumulators, which the compiler may not introduce.
              double            s[4] = {0., 0., 0., 0.};
              const double     *a = u[i], *b = v[j];
              std::size_t       k     = begin;
              const std::size_t fours = begin + (end - begin) / 4 * 4;
              for (; k < fours; k += 4)
                for (unsigned int l = 0; l < 4; ++l)
                  s[l] += a[k + l] * b[k + l];
              for (; k < end; ++k)
                s[0] += a[k] * b[k];
              result[i * v.size() + j] += (s[0] + s[1]) + (s[2] + s[3]);
            }
      }
    return result;
  }



  void
  add_combination(double                    *x,
                  const double               factor,
                  const Pointers            &v,
                  const std::vector<double> &coefficients,
                  const std::size_t          n)
  {
    for (std::size_t begin = 0; begin < n; begin += block)
      {
        const std::size_t end = std::min(n, begin + block);
        for (std::size_t j = 0; j < v.size(); ++j)
          {
            const double  c = factor * coefficients[j];
            const double *a = v[j];
            for (std::size_t k = begin; k < end; ++k)
              x[k] += c * a[k];
          }
      }
  }



  std::vector<double>
  multiply(const std::vector<double> &matrix, const std::vector<double> &x)
  {
    Array result(x.size(), 0.);
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x.size(); ++j)
        result[i] += matrix[i * x.size() + j] * x[j];
    return result;
  }



  std::vector<double>
  pseudo_inverse(const std::vector<double> &matrix, bool &definite)
  {
    const std::size_t n = small_size(matrix);

    // Scaled to a unit diagonal, so that units do not matter.
    Array scale(n, 1.);
    definite = true;
    for (std::size_t i = 0; i < n; ++i)
      if (matrix[i * n + i] > 0.)
        scale[i] = 1. / std::sqrt(matrix[i * n + i]);
      else
        definite = definite && matrix[i * n + i] == 0.;
    Array scaled(n * n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        scaled[i * n + j] =
          0.5 * scale[i] * scale[j] * (matrix[i * n + j] + matrix[j * n + i]);
    const auto eigen = symmetric_eigen(scaled);

    double largest = 0.;
    for (const double value : eigen.values)
      largest = std::max(largest, value);
    Array result(n * n, 0.);
    for (std::size_t k = 0; k < n; ++k)
      {
        if (eigen.values[k] < -1e-8 * largest)
          definite = false;
        if (eigen.values[k] > 1e-13 * largest)
          for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
              result[i * n + j] += scale[i] * scale[j] *
                                   eigen.vectors[k * n + i] *
                                   eigen.vectors[k * n + j] / eigen.values[k];
      }
    return result;
  }



  void
  DecoupledRows::find(const LocalSystem::Apply &apply,
                      const std::size_t         n_local,
                      const unsigned int        process)
  {
    // Two Weyl sequences: numbers between 1 and 2 without a pattern, also
    // from one process to the next.
    const double steps[]  = {0.6180339887498949, 0.4142135623730951};
    const double shifts[] = {0.7320508075688772, 0.2360679774997898};
    Array        z(n_local), product(n_local), quotients[2];
    for (unsigned int k = 0; k < 2; ++k)
      {
        for (std::size_t i = 0; i < n_local; ++i)
          z[i] =
            1. + std::fmod(steps[k] * (i % 1000003) + shifts[k] * process, 1.);
        apply(product.data(), z.data());
        for (std::size_t i = 0; i < n_local; ++i)
          quotients[k].push_back(product[i] / z[i]);
      }

    rows.clear();
    for (std::size_t i = 0; i < n_local; ++i)
      if (std::abs(quotients[0][i] - quotients[1][i]) <=
          1e-12 * std::abs(quotients[0][i]))
        rows.emplace_back(i, quotients[0][i]);
  }



  void
  DecoupledRows::find(const LocalMatrix &matrix)
  {
    rows.clear();
    for (std::size_t i = 0; i < matrix.n_rows; ++i)
      {
        double diagonal = 0.;
        bool   coupled  = false;
        for (const auto &block : matrix.blocks)
          for (int e = block.starts[i]; e < block.starts[i + 1] && !coupled;
               ++e)
            if (static_cast<std::size_t>(block.columns[e] + block.offset) == i)
              diagonal = block.values[e];
            else
              coupled = block.values[e] != 0.;
        if (!coupled)
          rows.emplace_back(i, diagonal);
      }
  }



  std::vector<bool>
  DecoupledRows::marks(const std::size_t n_local) const
  {
    std::vector<bool> result(n_local, false);
    for (const auto &[row, entry] : rows)
      result[row] = true;
    return result;
  }



  SolutionSpace::~SolutionSpace() = default;



  std::shared_ptr<const PiecewiseCoarseSpace>
  SolutionSpace::pieces(const LocalMatrix          &matrix,
                        const LocalSystem::Version &matrix_version,
                        const Symmetry              symmetry,
                        const Pieces                purpose)
  {
    if (basis.empty())
      return nullptr;
    // Measured on the sequences of tests/performance/solver_interface.
    const bool         for_start = purpose == Pieces::start;
    const unsigned int n_modes   = for_start ? 12 : 4;
    const double       unknowns  = for_start ? 256. : 128.;
    const double       most      = for_start ? 64. : 256.;
    constexpr int      n_leading = 24;
    constexpr int      seldom = 16, fewest = 4;
    Cut               &cut   = cuts[for_start ? 0 : 1];
    const bool other_version = matrix_version == LocalSystem::Version{0, 0} ||
                               matrix_version != cut.version;

    if (other_version)
      {
        DecoupledRows now;
        now.find(matrix);
        const std::vector<bool> marked = now.marks(n);
        if (!cut.space || !cut.space->fits(matrix, marked))
          {
            double n_all = static_cast<double>(n);
            MPI_Allreduce(MPI_IN_PLACE,
                          &n_all,
                          1,
                          MPI_DOUBLE,
                          MPI_SUM,
                          matrix.communicator);
            const double n_sets = std::min(most, std::floor(n_all / unknowns));
            if (n_sets < fewest)
              return nullptr;
            cut.space = std::make_shared<PiecewiseCoarseSpace>(
              matrix, marked, static_cast<unsigned int>(n_sets));
            cut.next_modes = 0;
          }
      }
    const bool new_modes = learned >= cut.next_modes;
    if (new_modes)
      {
        // The leading directions of what was learned do.
        const int          k     = static_cast<int>(basis.size());
        const auto         eigen = symmetric_eigen(covariance.values);
        std::vector<Array> leading;
        Array              roots;
        for (int i = k - 1; i >= 0 && i >= k - n_leading; --i)
          if (eigen.values[i] > 0.)
            {
              leading.emplace_back(n, 0.);
              add_combination(leading.back().data(),
                              1.,
                              pointers(basis),
                              Array(&eigen.vectors[i * k],
                                    &eigen.vectors[i * k] + k),
                              n);
              roots.push_back(std::sqrt(eigen.values[i]));
            }
        Array root(roots.size() * roots.size(), 0.);
        for (std::size_t i = 0; i < roots.size(); ++i)
          root[i * roots.size() + i] = roots[i];
        cut.space->set_modes(pointers(leading), root, n_modes);
        cut.next_modes = learned + std::min<std::uint64_t>(learned, seldom);
      }
    if (new_modes || other_version)
      cut.usable = cut.space->set_matrix(matrix, symmetry);
    cut.version = matrix_version;
    return cut.usable ? cut.space : nullptr;
  }



  SolutionSpace::SolutionSpace(const std::size_t  n_local,
                               const unsigned int max_size,
                               const double       forgetting)
    : n(n_local)
    , max_size(max_size)
    , forgetting(forgetting)
  {}



  SolutionSpace::Array
  SolutionSpace::orthonormalize(Array                    &direction,
                                const std::vector<Array> &others,
                                const double              threshold,
                                const LocalSystem::Sum   &sum) const
  {
    const Pointers all          = pointers(basis, others);
    Pointers       all_and_self = all;
    all_and_self.push_back(direction.data());

    // Gram-Schmidt twice is enough (Giraud, Langou, Rozloznik, van den
    // Eshof, Numer. Math. 101, 2005).
    Array  coefficients(all.size() + 1, 0.);
    double norm = 0.;
    for (unsigned int pass = 0; pass < 2; ++pass)
      {
        Array products = inner_products(all_and_self, {direction.data()}, n);
        sum_over_processes(products, sum);
        const double square = products.back();
        products.pop_back();
        if (pass == 0)
          norm = std::sqrt(square);
        if (!(std::isfinite(norm) && norm > 0.))
          return coefficients;
        add_combination(direction.data(), -1., all, products, n);
        for (std::size_t i = 0; i < all.size(); ++i)
          coefficients[i] += products[i];
      }

    Array square = inner_products({direction.data()}, {direction.data()}, n);
    sum_over_processes(square, sum);
    const double remainder = std::sqrt(square[0]);
    if (remainder > threshold * norm)
      {
        coefficients.back() = remainder;
        for (auto &value : direction)
          value /= remainder;
      }
    return coefficients;
  }



  void
  SolutionSpace::SquareMatrix::resize(const std::size_t new_size)
  {
    Array             resized(new_size * new_size, 0.);
    const std::size_t common = std::min(size, new_size);
    for (std::size_t i = 0; i < common; ++i)
      std::copy_n(&values[i * size], common, &resized[i * new_size]);
    values = std::move(resized);
    size   = new_size;
  }



  void
  SolutionSpace::SquareMatrix::reflect(const Array &w)
  {
    const auto reflect_line = [&](double *line, const std::size_t stride) {
      double product = 0.;
      for (std::size_t i = 0; i < size; ++i)
        product += w[i] * line[i * stride];
      for (std::size_t i = 0; i < size; ++i)
        line[i * stride] -= w[i] * product;
    };
    for (std::size_t i = 0; i < size; ++i)
      reflect_line(&values[i * size], 1);
    for (std::size_t i = 0; i < size; ++i)
      reflect_line(&values[i], size);
  }



  SolutionSpace::Array
  SolutionSpace::all_products(SquareMatrix           &known,
                              const Pointers         &u,
                              const Pointers         &v,
                              const LocalSystem::Sum &sum) const
  {
    const std::size_t m = u.size(), k = known.size;
    Array             lower = inner_products({u.begin() + k, u.end()}, v, n);
    Array             right =
      inner_products({u.begin(), u.begin() + k}, {v.begin() + k, v.end()}, n);
    const std::size_t n_lower = lower.size();
    lower.insert(lower.end(), right.begin(), right.end());
    sum(lower.data(), static_cast<int>(lower.size()));

    known.resize(m);
    std::copy_n(lower.begin(), n_lower, known.values.begin() + k * m);
    for (std::size_t i = 0; i < k; ++i)
      std::copy_n(&lower[n_lower + i * (m - k)],
                  m - k,
                  &known.values[i * m + k]);
    Array result = known.values;
    known.resize(basis.size());
    return result;
  }



  bool
  SolutionSpace::learn(const double *x, const LocalSystem::Sum &sum)
  {
    // Room is made first, so that the newest solution is always in the span.
    if (basis.size() == max_size)
      drop_one();

    Array        direction(x, x + n);
    Array        c = orthonormalize(direction, {}, 1e-10, sum);
    const double norm =
      std::sqrt(std::inner_product(c.begin(), c.end(), c.begin(), 0.));
    if (!(std::isfinite(norm) && norm > 0.))
      return false;
    ++learned;

    if (c.back() > 0.)
      basis.push_back(std::move(direction));
    else
      c.pop_back();

    const std::size_t k = basis.size();
    covariance.resize(k);
    for (std::size_t i = 0; i < k; ++i)
      for (std::size_t j = 0; j < k; ++j)
        covariance.values[i * k + j] =
          forgetting * covariance.values[i * k + j] +
          c[i] / norm * (c[j] / norm);
    return true;
  }



  void
  SolutionSpace::drop_one()
  {
    const std::size_t k     = basis.size();
    const auto        eigen = symmetric_eigen(covariance.values);
    const std::size_t least =
      std::min_element(eigen.values.begin(), eigen.values.end()) -
      eigen.values.begin();

    // The reflection I − w wᵀ takes that eigenvector to ± the last unit
    // vector.
    Array w(&eigen.vectors[least * k], &eigen.vectors[least * k] + k);
    w.back() += (w.back() >= 0. ? 1. : -1.);
    const double factor =
      std::sqrt(2. / std::inner_product(w.begin(), w.end(), w.begin(), 0.));
    for (auto &value : w)
      value *= factor;

    const auto reflect = [&](std::vector<Array> &vectors) {
      Array sum(n, 0.);
      add_combination(sum.data(), 1., pointers(vectors), w, n);
      for (std::size_t j = 0; j < k; ++j)
        add_combination(vectors[j].data(), -w[j], {sum.data()}, {1.}, n);
      vectors.pop_back();
    };
    reflect(basis);
    covariance.reflect(w);
    covariance.resize(k - 1);

    if (products.size() == k)
      reflect(products);
    else
      products.clear();
    for (SquareMatrix *matrix : {&galerkin_matrix, &normal_matrix})
      if (matrix->size == k)
        {
          matrix->reflect(w);
          matrix->resize(k - 1);
        }
      else
        matrix->resize(0);
  }



  Projection
  SolutionSpace::project(const LocalSystem                 &system,
                         const std::vector<const double *> &candidates,
                         double                            *x)
  {
    Projection result;
    if (basis.empty() && candidates.empty())
      return result;

    const double *b     = system.right_hand_side;
    const auto    apply = [&](double *dst, const double *src) {
      system.apply(dst, src);
      ++result.n_matrix_products;
    };
    const bool keep = system.matrix_version != LocalSystem::Version{0, 0};
    const bool kept = keep && version == system.matrix_version;
    const auto forget_matrix = [this]() {
      products.clear();
      galerkin_matrix.resize(0);
      normal_matrix.resize(0);
    };
    if (!kept)
      {
        forget_matrix();
        if (system.rows != nullptr)
          decoupled.find(*system.rows);
        else
          decoupled.find(apply, n, system.process);
      }
    version = system.matrix_version;

    const auto cut =
      system.rows != nullptr && !kept ?
        pieces(*system.rows, version, system.symmetry, Pieces::start) :
        nullptr;
    const bool with_basis = !cut || n_pauses == 0;
    if (cut && !with_basis)
      --n_pauses;

    // The directions: the basis and, orthonormal to it, what is new in the
    // host's start and in the candidates.
    std::vector<Array> extra;
    const auto         add_direction = [&](const double *v) {
      Array direction(v, v + n);
      if (orthonormalize(direction, extra, 1e-8, system.sum).back() > 0.)
        extra.push_back(std::move(direction));
    };
    add_direction(x);
    for (const double *candidate : candidates)
      add_direction(candidate);
    if (basis.empty() && extra.empty())
      return result;
    result.dimension =
      (cut ? cut->size() : 0) + (with_basis ? basis.size() : 0) + extra.size();

    // The starts to compare with: zero, and the host's own, from which
    // corrections are sought; and their residuals.
    Array zero(n, 0.), start(x, x + n);
    decoupled.solve(zero.data(), b);
    decoupled.solve(start.data(), b);
    Array norms(3, 0.);
    for (std::size_t i = 0; i < n; ++i)
      {
        norms[0] += zero[i] * zero[i];
        norms[1] += start[i] * start[i];
        norms[2] += (start[i] - zero[i]) * (start[i] - zero[i]);
      }
    sum_over_processes(norms, system.sum);
    const auto residual_of = [&](const Array &y, const bool is_zero) {
      Array residual(n, 0.);
      if (!is_zero)
        apply(residual.data(), y.data());
      for (std::size_t i = 0; i < n; ++i)
        residual[i] = b[i] - residual[i];
      return residual;
    };
    const Array zero_residual = residual_of(zero, norms[0] == 0.);
    if (!std::isfinite(norms[1]))
      start = zero;
    const Array start_residual = std::isfinite(norms[1]) && norms[2] > 0. ?
                                   residual_of(start, norms[1] == 0.) :
                                   zero_residual;

    Array squares(2, 0.);
    for (std::size_t i = 0; i < n; ++i)
      {
        squares[0] += zero_residual[i] * zero_residual[i];
        squares[1] += start_residual[i] * start_residual[i];
      }
    sum_over_processes(squares, system.sum);
    result.host_residual = result.residual = std::sqrt(squares[1]);

    // The products. A direction is zero in the decoupled rows; it suffices
    // to say so here, and in the residual, for the small systems below.
    Array      masked(n);
    const auto product_with = [&](const Array &direction) {
      Array product(n);
      masked = direction;
      decoupled.clear_entries(masked.data());
      apply(product.data(), masked.data());
      decoupled.clear_entries(product.data());
      return product;
    };
    Array right_hand_side = start_residual;
    decoupled.clear_entries(right_hand_side.data());
    std::vector<Array> extra_products;
    for (const auto &direction : extra)
      extra_products.push_back(product_with(direction));
    if (cut)
      {
        // Of all pieces only their best combination goes on from here.
        const Array best = cut->solve(right_hand_side.data());
        extra.emplace_back(n, 0.);
        cut->add(extra.back().data(), 1., best);
        extra_products.emplace_back(n, 0.);
        cut->add_product(extra_products.back().data(), 1., best);
      }
    if (with_basis)
      for (std::size_t i = products.size(); i < basis.size(); ++i)
        products.push_back(product_with(basis[i]));
    const std::vector<Array> none;
    const Pointers           v = pointers(with_basis ? basis : none, extra),
                   w = pointers(with_basis ? products : none, extra_products);
    const std::size_t m = v.size();

    // Minimise in the span; @p test is v or w. The second pass removes the
    // rounding errors of the first.
    Array      correction;
    const auto minimize = [&](const Pointers &test, const Array &matrix) {
      bool        definite = true;
      const Array inverse  = pseudo_inverse(matrix, definite);
      Array       r        = right_hand_side;
      correction.assign(m, 0.);
      for (unsigned int pass = 0; pass < 2; ++pass)
        {
          Array moments = inner_products(test, {r.data()}, n);
          sum_over_processes(moments, system.sum);
          const Array update = multiply(inverse, moments);
          for (std::size_t i = 0; i < m; ++i)
            correction[i] += update[i];
          add_combination(r.data(), -1., w, update, n);
        }
      return definite;
    };

    // What the corrected start is worth: if e is its difference to another
    // one, and r and r' are the residuals of the two, its energy is lower by
    // ½ eᵀ (r + r').
    Array      corrected, numbers;
    const auto passes = [&](const bool by_energy, const bool by_residual) {
      corrected = start;
      add_combination(corrected.data(), 1., v, correction, n);
      decoupled.copy(corrected.data(), start.data());
      Array residual = start_residual;
      if (kept)
        residual = residual_of(corrected, false); // if the version lied
      else
        add_combination(residual.data(), -1., w, correction, n);
      numbers.assign(3, 0.);
      for (std::size_t i = 0; i < n; ++i)
        {
          const double r = residual[i];
          numbers[0] += r * r;
          numbers[1] += (corrected[i] - start[i]) * (r + start_residual[i]);
          numbers[2] += (corrected[i] - zero[i]) * (r + zero_residual[i]);
        }
      sum_over_processes(numbers, system.sum);
      for (const double number : numbers)
        if (!std::isfinite(number))
          return false;
      return (!by_energy || (numbers[1] > 0. && numbers[2] >= 0.)) &&
             (!by_residual ||
              (numbers[0] < squares[1] && numbers[0] <= squares[0]));
    };

    bool accepted = false;
    if (system.symmetry != Symmetry::general)
      {
        SquareMatrix unknown;
        const Array  matrix = all_products(
          with_basis ? galerkin_matrix : unknown, v, w, system.sum);
        double size = 0., asymmetry = 0.;
        for (std::size_t i = 0; i < m; ++i)
          for (std::size_t j = 0; j < m; ++j)
            {
              size += matrix[i * m + j] * matrix[i * m + j];
              asymmetry += std::pow(matrix[i * m + j] - matrix[j * m + i], 2);
            }
        const bool known = system.symmetry == Symmetry::definite;
        const bool symmetric =
          (!cut || cut->is_definite()) && asymmetry <= 1e-20 * size;
        if ((known || symmetric) && minimize(v, matrix) && passes(true, !known))
          {
            accepted      = true;
            result.method = Projection::Method::galerkin;
          }
      }
    if (!accepted && system.symmetry != Symmetry::definite)
      {
        SquareMatrix unknown;
        minimize(
          w,
          all_products(with_basis ? normal_matrix : unknown, w, w, system.sum));
        if (passes(false, true))
          {
            accepted      = true;
            result.method = Projection::Method::least_squares;
          }
      }

    if (cut && with_basis && accepted)
      {
        // What the pieces alone would have left.
        const Array &product = extra_products.back();
        Array        left(3, 0.);
        for (std::size_t i = 0; i < n; ++i)
          {
            left[0] += right_hand_side[i] * right_hand_side[i];
            left[1] += right_hand_side[i] * product[i];
            left[2] += product[i] * product[i];
          }
        sum_over_processes(left, system.sum);
        const double           square        = left[0] - 2. * left[1] + left[2];
        constexpr double       enough        = 0.5;
        constexpr unsigned int longest_pause = 32;
        if (numbers[0] < enough * enough * square)
          next_pause = 1;
        else
          {
            n_pauses   = next_pause;
            next_pause = std::min(2 * next_pause, longest_pause);
          }
      }

    if (accepted)
      {
        result.residual = std::sqrt(numbers[0]);
        std::copy(corrected.begin(), corrected.end(), x);
      }
    if (!keep)
      forget_matrix();
    return result;
  }
} // namespace neuraldeal
