// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/pod.h>
#include <neuraldeal/surrogates/random.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace neuraldeal
{
  namespace
  {
    /** Fields that are in memory at once, twice. */
    constexpr long block_size = 32;

    /** Values of a field that a fixed functional looks at. */
    constexpr long n_functional_values = 1024;

    /**
     * The number k of the symmetry with P_k = P_g⁻¹ P_h, for all g and h.
     */
    std::vector<std::vector<long>>
    quotients(const std::vector<FieldSymmetry> &symmetries)
    {
      std::vector<std::vector<long>> table;
      for (const auto &g : symmetries)
        {
          const auto inverse = torch::empty_like(g.points);
          inverse.index_put_({g.points}, torch::arange(g.points.size(0)));
          table.emplace_back();
          for (const auto &h : symmetries)
            {
              const auto wanted = h.points.index_select(0, inverse);
              const auto k =
                std::find_if(symmetries.begin(),
                             symmetries.end(),
                             [&](const FieldSymmetry &s) {
                               return torch::equal(s.points, wanted);
                             });
              if (k == symmetries.end())
                throw InputError("the program",
                                 "the set of symmetries",
                                 std::to_string(symmetries.size()) + " maps",
                                 "a group: with any two of them what they "
                                 "make one after the other");
              table.back().push_back(k - symmetries.begin());
            }
        }
      return table;
    }



    /**
     * Choose among the orthonormal bases of one eigenspace, the columns of
     * @p modes, the one closest to fixed directions: with the values B of
     * fixed functionals on the modes, as many as there are, multiply by the
     * orthogonal factor of Bᵀ's polar decomposition. The bases V Q give the
     * same for any orthogonal Q, so that the result depends continuously on
     * the fields, where eigenvectors come as they happen to.
     */
    torch::Tensor
    rotate_to_fixed_directions(const torch::Tensor &modes)
    {
      const long    n_modes = modes.size(1);
      CounterRandom random(0, CounterRandom::Stream::directions, n_modes);
      const auto    points =
        torch::empty({std::min(modes.size(0), n_functional_values)},
                     torch::kInt64);
      for (long i = 0; i < points.numel(); ++i)
        points[i] =
          static_cast<std::int64_t>(random.uniform() * double(modes.size(0)));
      auto weights = torch::empty({points.numel(), n_modes}, torch::kFloat64);
      std::generate_n(weights.data_ptr<double>(), weights.numel(), [&random]() {
        return random.normal();
      });
      const auto [left, values, right] =
        at::linalg_svd(torch::mm(modes.index_select(0, points).t(), weights),
                       false);
      (void)values;
      return torch::mm(modes, torch::mm(left, right));
    }
  } // namespace



  POD
  compute_pod(
    const long n_fields,
    const std::function<torch::Tensor(const long begin, const long end)> &read,
    const FieldSpace                                                     &space,
    const double        tolerance,
    const long          max_modes,
    const Communicator &communicator)
  {
    using torch::indexing::Slice;
    const long n_symmetries = space.symmetries.size();
    const long n_rows       = n_fields * n_symmetries;
    const auto end_of       = [&](const long begin) {
      return std::min(begin + block_size, n_fields);
    };

    // products[k](i, j) = (u_i, P_k u_j)
    auto products =
      torch::zeros({n_symmetries, n_fields, n_fields}, torch::kFloat64);
    for (long a = 0, unit = 0; a < n_fields; a += block_size, ++unit)
      if (communicator.owns(unit))
        {
          const auto weighted = space.apply_mass(read(a, end_of(a)));
          for (long b = 0; b < n_fields; b += block_size)
            {
              const auto fields = read(b, end_of(b));
              for (long k = 0; k < n_symmetries; ++k)
                products.index_put_(
                  {k, Slice(a, end_of(a)), Slice(b, end_of(b))},
                  torch::mm(
                    weighted,
                    fields.index_select(1, space.symmetries[k].points).t()));
            }
        }
    communicator.sum(products);

    auto       gram  = torch::empty({n_rows, n_rows}, torch::kFloat64);
    const auto table = quotients(space.symmetries);
    for (long g = 0; g < n_symmetries; ++g)
      for (long h = 0; h < n_symmetries; ++h)
        gram.index_put_({Slice(g * n_fields, (g + 1) * n_fields),
                         Slice(h * n_fields, (h + 1) * n_fields)},
                        products[table[g][h]]);
    gram = 0.5 * (gram + gram.t());

    auto [eigenvalues, eigenvectors] = compat::symmetric_eigen(gram);
    eigenvalues  = eigenvalues.flip(0).clamp_min(0.) / double(n_rows);
    eigenvectors = eigenvectors.flip(1);

    // discarded[r]: what r modes leave
    const auto    discarded = torch::cat({eigenvalues.flip(0).cumsum(0).flip(0),
                                          torch::zeros({1}, torch::kFloat64)});
    const double *lambda    = eigenvalues.data_ptr<double>();
    const double *remainder = discarded.data_ptr<double>();
    long          n_modes   = 1;
    while (n_modes < std::min(max_modes, n_rows) &&
           remainder[n_modes] > tolerance * tolerance &&
           lambda[n_modes] > 1e-14 * lambda[0])
      ++n_modes;
    // Is the r-th eigenvalue the same as the one before? Symmetries make
    // multiple ones, equal up to rounding. Those that are nearly the same by
    // chance have eigenvectors that the error of the host's solver rotates.
    const auto repeats = [&](const long r) {
      return lambda[r] > (1. - 1e-3) * lambda[r - 1] - 1e-14 * lambda[0];
    };
    const auto splits = [&](const long r) { return r < n_rows && repeats(r); };
    // Take the rest of a multiple eigenvalue in, since the tolerance is to
    // hold; leave all of it out where there is no room for it.
    while (n_modes < std::min(max_modes, n_rows) && splits(n_modes))
      ++n_modes;
    while (n_modes > 1 && splits(n_modes))
      --n_modes;

    POD result;
    result.truncation = std::sqrt(remainder[n_modes]);

    const auto norms =
      (eigenvalues.slice(0, 0, n_modes) * double(n_rows)).sqrt();
    // Fields that are all zero have a mode that is zero.
    const auto combination =
      torch::where(norms > 0.,
                   eigenvectors.slice(1, 0, n_modes) / norms,
                   torch::zeros_like(norms));
    result.modes = torch::zeros({space.size(), n_modes}, torch::kFloat64);
    for (long b = 0; b < n_fields; b += block_size)
      {
        const auto fields = read(b, end_of(b));
        for (long g = 0; g < n_symmetries; ++g)
          result.modes.addmm_(
            fields.index_select(1, space.symmetries[g].points).t(),
            combination.slice(0, g * n_fields + b, g * n_fields + end_of(b)));
      }
    for (long begin = 0, end = 1; begin < n_modes; begin = end, ++end)
      {
        while (end < n_modes && repeats(end))
          ++end;
        auto eigenspace = result.modes.slice(1, begin, end);
        eigenspace.copy_(rotate_to_fixed_directions(eigenspace));
      }
    result.projector = space.apply_mass(result.modes.t()).t().contiguous();

    std::vector<torch::Tensor> actions;
    for (const auto &symmetry : space.symmetries)
      actions.push_back(
        torch::mm(result.projector.t(),
                  result.modes.index_select(0, symmetry.points)));
    result.symmetries = torch::stack(actions);
    return result;
  }
} // namespace neuraldeal
