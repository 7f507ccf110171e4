// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/nonlinear_space.h>

#include <algorithm>
#include <cmath>

namespace neuraldeal
{
  namespace
  {
    std::vector<const double *>
    pointers(const std::vector<SolutionSpace::Array> &arrays)
    {
      std::vector<const double *> result;
      for (const auto &array : arrays)
        result.push_back(array.data());
      return result;
    }
  } // namespace



  class NonlinearSpace::Search
  {
  public:
    /**
     * From the host's own start, which is found to be of use or not.
     * @param solution a past one, where there is one.
     */
    Search(const LocalNonlinearSystem &system,
           const double               *start,
           const std::size_t           n,
           const Array                *solution)
      : system(system)
      , n(n)
      , host(start, start + n)
      , best(host)
      , scale(std::max(norm(host), solution ? norm(*solution) : 0.))
    {
      usable               = evaluate(best, residual, result.residual);
      host_residual        = residual;
      result.host_residual = result.residual;
      if (!usable)
        result.left_out.push_back(
          "all: F cannot be evaluated at the host's own start");
    }

    /** Take @p candidate if it is better than what there is. */
    void
    try_candidate(const std::string &name, Array candidate)
    {
      if (!std::isfinite(norm(candidate)))
        {
          result.left_out.push_back(name + ": not finite");
          return;
        }
      if (!make_admissible(candidate))
        {
          result.left_out.push_back(name + blind);
          return;
        }
      Array  f(n);
      double size = 0.;
      if (!evaluate(candidate, f, size))
        result.left_out.push_back(name + ": F cannot be evaluated there");
      else if (size < result.residual)
        {
          result.source = name;
          take(candidate, f, size);
        }
    }

    /** Gauss-Newton steps in the span of @p directions. */
    void
    improve(const std::vector<Array> &directions, const unsigned int n_steps)
    {
      if (n_steps == 0 || result.residual < 0.1 * result.host_residual)
        return;

      // Changes of the start that the constraints allow, and their images
      // under the Jacobian.
      std::vector<Array> v, w;
      unsigned int       n_blind = 0;
      for (const auto &direction : directions)
        {
          Array change(best);
          add_combination(change.data(), scale, {direction.data()}, {1.}, n);
          const bool admissible = make_admissible(change);
          for (std::size_t i = 0; i < n; ++i)
            change[i] = (change[i] - best[i]) / scale;
          Array image(n);
          if (!admissible)
            ++n_blind;
          else if (differentiate(change, image))
            {
              v.push_back(std::move(change));
              w.push_back(std::move(image));
            }
        }
      if (n_blind > 0)
        result.left_out.push_back(std::to_string(n_blind) + " directions" +
                                  blind);
      if (v.empty())
        return;
      result.dimension = v.size();

      for (unsigned int step = 0; step < n_steps; ++step)
        {
          Array products = inner_products(pointers(w), pointers(w), n);
          Array gradient = inner_products(pointers(w), {residual.data()}, n);
          const std::size_t n_products = products.size();
          products.insert(products.end(), gradient.begin(), gradient.end());
          sum(products);
          gradient.assign(products.begin() + n_products, products.end());
          products.resize(n_products);
          bool  definite = true;
          Array c = multiply(pseudo_inverse(products, definite), gradient);

          // A step that makes it worse is too long.
          bool   better = false;
          double factor = -1., size = 0.;
          Array  trial, f(n);
          for (unsigned int attempt = 0; attempt < 3 && !better; ++attempt)
            {
              trial = best;
              add_combination(trial.data(), factor, pointers(v), c, n);
              better = make_admissible(trial) && evaluate(trial, f, size) &&
                       size < result.residual;
              if (!better)
                factor *= 0.25;
            }
          if (!better)
            return;

          // What the derivative did not tell: W += (ΔF − W Δc) Δcᵀ / |Δc|².
          double square = 0.;
          for (auto &coefficient : c)
            {
              coefficient *= factor;
              square += coefficient * coefficient;
            }
          Array surprise(f);
          add_combination(surprise.data(), -1., {residual.data()}, {1.}, n);
          add_combination(surprise.data(), -1., pointers(w), c, n);
          for (std::size_t j = 0; j < w.size(); ++j)
            add_combination(
              w[j].data(), c[j] / square, {surprise.data()}, {1.}, n);

          // The rest of the residual is not for this space.
          const bool enough = size > 0.5 * result.residual;
          take(trial, f, size);
          ++result.n_steps;
          if (enough)
            return;
        }
    }

    bool           usable = false;
    NonlinearStart result;

    const Array &
    best_start() const
    {
      return best;
    }

  private:
    static constexpr const char *blind =
      ": other values where F does not see them; give the constraints";

    void
    sum(Array &numbers) const
    {
      system.sum(numbers.data(), static_cast<int>(numbers.size()));
    }

    double
    norm(const Array &x) const
    {
      Array square = inner_products({x.data()}, {x.data()}, n);
      sum(square);
      return std::sqrt(square[0]);
    }

    /** Whether F at @p x is finite; then also @p size, its norm. */
    bool
    evaluate(const Array &x, Array &f, double &size)
    {
      f.resize(n);
      ++result.n_residuals;
      if (!system.residual(f.data(), x.data()))
        return false;
      size = norm(f);
      return std::isfinite(size);
    }

    void
    take(const Array &x, const Array &f, const double size)
    {
      best            = x;
      residual        = f;
      result.residual = size;
    }

    /** The derivative of F at the best start. */
    bool
    differentiate(const Array &direction, Array &image)
    {
      double size = 0.;
      if (system.jacobian)
        {
          ++result.n_jacobian_products;
          if (!system.jacobian(image.data(), best.data(), direction.data()))
            return false;
          // In rows of constrained unknowns, where F is zero, the host's
          // matrix may have anything.
          for (std::size_t i = 0; i < n; ++i)
            if (residual[i] == 0.)
              image[i] = 0.;
          return std::isfinite(norm(image));
        }
      // In the middle between the truncation error and that of rounding,
      // which is the larger one where F is a stiff operator.
      const double step = 1e-5 * scale;
      Array        x(best);
      add_combination(x.data(), step, {direction.data()}, {1.}, n);
      if (!evaluate(x, image, size))
        return false;
      for (std::size_t i = 0; i < n; ++i)
        image[i] = (image[i] - residual[i]) / step;
      return true;
    }

    /**
     * Set the constrained values of @p x; where that is not possible, whether
     * they are right.
     */
    bool
    make_admissible(Array &x)
    {
      if (system.distribute)
        {
          system.distribute(x.data());
          return true;
        }
      if (!unseen_known)
        find_unseen(scale > 0. ? scale : norm(x));
      Array wrong = {0.};
      for (const std::size_t i : unseen)
        if (std::abs(x[i] - host[i]) >
            1e-12 * std::max(std::abs(x[i]), std::abs(host[i])))
          wrong[0] += 1.;
      sum(wrong);
      return wrong[0] == 0.;
    }

    /**
     * The rows in which F does not change with u; as of DecoupledRows, but F
     * need not be linear.
     */
    void
    find_unseen(const double size)
    {
      unseen_known = true;
      Array count  = {static_cast<double>(n)};
      sum(count);
      const double step = 1e-3 * size / std::sqrt(count[0]);
      Array        x(host), f(n);
      for (std::size_t i = 0; i < n; ++i)
        x[i] += step * (1. + std::fmod(0.6180339887498949 * (i % 1000003) +
                                         0.7320508075688772 * system.process,
                                       1.));
      double     unused = 0.;
      const bool known  = evaluate(x, f, unused);
      for (std::size_t i = 0; i < n; ++i)
        if (!known || f[i] == host_residual[i])
          unseen.push_back(i);
    }

    const LocalNonlinearSystem &system;
    const std::size_t           n;
    const Array                 host;          ///< the host's own start
    Array                       best;          ///< the best start so far
    Array                       residual;      ///< F there
    const double                scale;         ///< ‖u‖
    Array                       host_residual; ///< F at the host's own start
    bool                        unseen_known = false;
    std::vector<std::size_t>    unseen; ///< rows
  };



  NonlinearSpace::NonlinearSpace(const std::size_t  n_local,
                                 const unsigned int max_size,
                                 const unsigned int n_steps)
    : space(n_local, std::max(max_size, 1u), 0.9)
    , max_size(max_size)
    , n_steps(n_steps)
  {}



  bool
  NonlinearSpace::learn(const double *x, const LocalSystem::Sum &sum)
  {
    if (!space.learn(x, sum))
      return false;
    if (newest.size() == 2)
      newest.pop_back();
    newest.emplace(newest.begin(), x, x + n_local());
    return true;
  }



  NonlinearStart
  NonlinearSpace::find_start(const LocalNonlinearSystem   &system,
                             const std::vector<Candidate> &candidates,
                             double                       *x) const
  {
    if (candidates.empty() && newest.empty())
      return NonlinearStart();

    Search search(system, x, n_local(), newest.empty() ? nullptr : &newest[0]);
    if (!search.usable || search.result.residual == 0.)
      return search.result;
    for (const auto &[name, values] : candidates)
      search.try_candidate(name, Array(values, values + n_local()));
    if (!newest.empty())
      search.try_candidate("the newest solution", newest[0]);
    if (newest.size() == 2)
      {
        Array extrapolated(n_local());
        for (std::size_t i = 0; i < n_local(); ++i)
          extrapolated[i] = 2. * newest[0][i] - newest[1][i];
        search.try_candidate("the extrapolation", extrapolated);
      }
    if (max_size > 0)
      search.improve(space.directions(), n_steps);

    if (search.result.changed())
      std::copy(search.best_start().begin(), search.best_start().end(), x);
    return search.result;
  }
} // namespace neuraldeal
