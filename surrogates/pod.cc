// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/compat.h>
#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/pod.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace neuraldeal
{
  namespace
  {
    /** Fields that are in memory at once, twice. */
    constexpr long block_size = 32;

    /**
     * The number k of the symmetry with P_k = P_g⁻¹ P_h, for all g and h.
     */
    std::vector<std::vector<long>>
    quotients(const std::vector<Symmetry> &symmetries)
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
                             [&](const Symmetry &s) {
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
    const auto splits = [&](const long r) {
      return r < n_rows && lambda[r] > (1. - 1e-6) * lambda[r - 1];
    };
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
