// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/plugin/coarse_space.h>
#include <neuraldeal/plugin/lapack.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    /**
     * Sets of rows that are near each other in the graph: seeds far from all
     * others one after the other, each row to its nearest seed.
     */
    std::vector<int>
    make_sets(const LocalMatrix       &matrix,
              const std::vector<bool> &is_decoupled,
              const unsigned int       n_sets)
    {
      const int        n = static_cast<int>(matrix.n_rows);
      std::vector<int> set(n, -1), distance(n, std::numeric_limits<int>::max());
      std::vector<int> queue;
      const auto       grow = [&](const int seed, const int number) {
        queue.assign(1, seed);
        distance[seed] = 0;
        set[seed]      = number;
        for (std::size_t q = 0; q < queue.size(); ++q)
          {
            const int i = queue[q];
            for (const auto &block : matrix.blocks)
              for (int e = block.starts[i]; e < block.starts[i + 1]; ++e)
                {
                  const int j = block.columns[e] + block.offset;
                  if (j < n && !is_decoupled[j] &&
                      distance[j] > distance[i] + 1)
                    {
                      distance[j] = distance[i] + 1;
                      set[j]      = number;
                      queue.push_back(j);
                    }
                }
          }
      };
      for (unsigned int s = 0; s < n_sets; ++s)
        {
          int seed = -1;
          for (int i = 0; i < n; ++i)
            if (!is_decoupled[i] && (seed < 0 || distance[i] > distance[seed]))
              seed = i;
          if (seed < 0 || distance[seed] == 0)
            break;
          grow(seed, static_cast<int>(s));
        }
      // What no seed reaches, where the graph has more parts than there are
      // sets, stays without.
      return set;
    }

    /** A hash of where the entries of @p matrix are (FNV-1a). */
    std::uint64_t
    fingerprint_of(const LocalMatrix       &matrix,
                   const std::vector<bool> &is_decoupled)
    {
      std::uint64_t hash = 14695981039346656037u;
      const auto    add  = [&hash](const std::uint64_t number) {
        hash = (hash ^ number) * 1099511628211u;
      };
      for (const auto &block : matrix.blocks)
        {
          for (std::size_t i = 0; i <= matrix.n_rows; ++i)
            add(block.starts[i]);
          for (int e = 0; e < block.starts[matrix.n_rows]; ++e)
            add(block.columns[e]);
        }
      for (const auto &[owner, number] : matrix.ghosts)
        {
          add(owner);
          add(number);
        }
      for (std::size_t i = 0; i < is_decoupled.size(); ++i)
        if (is_decoupled[i])
          add(i);
      return hash;
    }

    // The inner loops, four modes at a time, which processors do at once.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#  define NEURALDEAL_WIDE \
    __attribute__((target_clones("default", "arch=haswell")))
#else
#  define NEURALDEAL_WIDE
#endif

    NEURALDEAL_WIDE void
    add_parts(const LocalMatrix::Block &block,
              const std::size_t         n,
              const unsigned int        k,
              const int                *part_of_entry,
              const int                *place,
              const double             *modes,
              double                   *parts)
    {
      const int end = block.starts[n];
      for (int e = block.starts[0]; e < end; ++e)
        {
          if (part_of_entry[e] < 0)
            continue;
          const double  a = block.values[e];
          const double *from =
            modes +
            static_cast<std::size_t>(place[block.columns[e] + block.offset]) *
              k;
          double *to = parts + static_cast<std::size_t>(part_of_entry[e]) * k;
          for (unsigned int m = 0; m < k; m += 4)
            for (unsigned int l = 0; l < 4; ++l)
              to[m + l] += a * from[m + l];
        }
    }



    /** E += u vᵀ */
    NEURALDEAL_WIDE void
    add_outer_product(double            *e,
                      const double      *u,
                      const double      *v,
                      const unsigned int k)
    {
      for (unsigned int r = 0; r < k; ++r)
        for (unsigned int m = 0; m < k; m += 4)
          for (unsigned int l = 0; l < 4; ++l)
            e[r * k + m + l] += u[r] * v[m + l];
    }



    /** y += a x */
    NEURALDEAL_WIDE void
    add_scaled(double *y, const double a, const double *x, const unsigned int k)
    {
      for (unsigned int m = 0; m < k; m += 4)
        for (unsigned int l = 0; l < 4; ++l)
          y[m + l] += a * x[m + l];
    }



    double
    product(const double *x, const double *y, const unsigned int k)
    {
      double s[4] = {0., 0., 0., 0.};
      for (unsigned int m = 0; m < k; m += 4)
        for (unsigned int l = 0; l < 4; ++l)
          s[l] += x[m + l] * y[m + l];
      return (s[0] + s[1]) + (s[2] + s[3]);
    }
  } // namespace



  PiecewiseCoarseSpace::PiecewiseCoarseSpace(
    const LocalMatrix       &matrix,
    const std::vector<bool> &is_decoupled,
    const unsigned int       n_sets)
    : communicator(matrix.communicator)
    , n(matrix.n_rows)
    , fingerprint(fingerprint_of(matrix, is_decoupled))
  {
    int rank, n_processes;
    MPI_Comm_rank(communicator, &rank);
    MPI_Comm_size(communicator, &n_processes);

    double share[2];
    share[0] = static_cast<double>(n);
    MPI_Allreduce(&share[0], &share[1], 1, MPI_DOUBLE, MPI_SUM, communicator);
    const unsigned int wanted = std::max<unsigned int>(
      1, static_cast<unsigned int>(std::lround(n_sets * share[0] / share[1])));
    const std::vector<int> sets       = make_sets(matrix, is_decoupled, wanted);
    int                    n_own_sets = 0;
    for (const int s : sets)
      n_own_sets = std::max(n_own_sets, s + 1);
    set_starts.assign(n_own_sets + 2, 0);
    for (const int s : sets)
      ++set_starts[(s >= 0 ? s : n_own_sets) + 1];
    std::partial_sum(set_starts.begin(), set_starts.end(), set_starts.begin());
    rows.resize(n);
    place.resize(n);
    {
      std::vector<std::size_t> next = set_starts;
      for (std::size_t i = 0; i < n; ++i)
        {
          place[i] =
            static_cast<int>(next[sets[i] >= 0 ? sets[i] : n_own_sets]++);
          rows[place[i]] = static_cast<int>(i);
        }
    }
    set_starts.pop_back();

    std::vector<int> counts(n_processes);
    MPI_Allgather(
      &n_own_sets, 1, MPI_INT, counts.data(), 1, MPI_INT, communicator);
    first_set  = std::accumulate(counts.begin(), counts.begin() + rank, 0);
    n_all_sets = std::accumulate(counts.begin(), counts.end(), 0);
    set_of.resize(n);
    for (std::size_t i = 0; i < n; ++i)
      set_of[place[i]] =
        sets[i] >= 0 ? sets[i] + static_cast<int>(first_set) : -1;

    // Who needs which rows.
    receive_counts.assign(n_processes, 0);
    for (const auto &ghost : matrix.ghosts)
      ++receive_counts[ghost.first];
    send_counts.resize(n_processes);
    MPI_Alltoall(receive_counts.data(),
                 1,
                 MPI_INT,
                 send_counts.data(),
                 1,
                 MPI_INT,
                 communicator);
    std::vector<int> order_of_owners(matrix.ghosts.size());
    std::iota(order_of_owners.begin(), order_of_owners.end(), 0);
    std::stable_sort(order_of_owners.begin(),
                     order_of_owners.end(),
                     [&](const int a, const int b) {
                       return matrix.ghosts[a].first < matrix.ghosts[b].first;
                     });
    std::vector<int> wanted_rows, send_rows;
    for (const int g : order_of_owners)
      {
        wanted_rows.push_back(matrix.ghosts[g].second);
        receive_places.push_back(static_cast<int>(n) + g);
      }
    const auto starts = [](const std::vector<int> &c) {
      std::vector<int> result(c.size(), 0);
      std::partial_sum(c.begin(), c.end() - 1, result.begin() + 1);
      return result;
    };
    send_rows.resize(
      std::accumulate(send_counts.begin(), send_counts.end(), 0));
    MPI_Alltoallv(wanted_rows.data(),
                  receive_counts.data(),
                  starts(receive_counts).data(),
                  MPI_INT,
                  send_rows.data(),
                  send_counts.data(),
                  starts(send_counts).data(),
                  MPI_INT,
                  communicator);
    std::vector<int> sent, received(matrix.ghosts.size());
    for (const int row : send_rows)
      {
        send_places.push_back(place[row]);
        sent.push_back(set_of[place[row]]);
      }
    MPI_Alltoallv(sent.data(),
                  send_counts.data(),
                  starts(send_counts).data(),
                  MPI_INT,
                  received.data(),
                  receive_counts.data(),
                  starts(receive_counts).data(),
                  MPI_INT,
                  communicator);
    set_of.resize(n + matrix.ghosts.size());
    for (std::size_t g = 0; g < received.size(); ++g)
      set_of[receive_places[g]] = received[g];
    place.resize(n + matrix.ghosts.size());
    std::iota(place.begin() + n, place.end(), static_cast<int>(n));

    // The parts of A P and the blocks of E.
    std::map<std::pair<int, int>, int> numbers;
    const auto block_number = [&](const int row, const int column) {
      const auto inserted =
        numbers.insert({{row, column}, static_cast<int>(own_blocks.size())});
      if (inserted.second)
        own_blocks.emplace_back(row, column);
      return inserted.first->second;
    };
    for (int s = 0; s < n_own_sets; ++s)
      block_number(s + static_cast<int>(first_set),
                   s + static_cast<int>(first_set));
    for (const auto &block : matrix.blocks)
      part_of_entry.emplace_back(block.starts[n], -1);
    for (std::size_t i = 0; i < n; ++i)
      {
        const int own = set_of[place[i]];
        if (own < 0)
          continue;
        const std::size_t first = other_parts.size();
        for (std::size_t b = 0; b < matrix.blocks.size(); ++b)
          {
            const auto &block = matrix.blocks[b];
            for (int e = block.starts[i]; e < block.starts[i + 1]; ++e)
              {
                const int s = set_of[place[block.columns[e] + block.offset]];
                if (s == own)
                  part_of_entry[b][e] = place[i];
                else if (s >= 0)
                  {
                    std::size_t part = first;
                    while (part < other_parts.size() &&
                           other_parts[part].set != s)
                      ++part;
                    if (part == other_parts.size())
                      other_parts.push_back(
                        {place[i], s, block_number(own, s)});
                    part_of_entry[b][e] = static_cast<int>(n + part);
                  }
              }
          }
      }

    // All know where the blocks of E are, and order the sets to a band
    // (Cuthill and McKee).
    block_counts.resize(n_processes);
    int n_mine = static_cast<int>(2 * own_blocks.size());
    MPI_Allgather(
      &n_mine, 1, MPI_INT, block_counts.data(), 1, MPI_INT, communicator);
    std::vector<int> flat,
      all_flat(std::accumulate(block_counts.begin(), block_counts.end(), 0));
    for (const auto &[i, j] : own_blocks)
      {
        flat.push_back(i);
        flat.push_back(j);
      }
    MPI_Allgatherv(flat.data(),
                   n_mine,
                   MPI_INT,
                   all_flat.data(),
                   block_counts.data(),
                   starts(block_counts).data(),
                   MPI_INT,
                   communicator);
    std::vector<std::vector<int>> neighbours(n_all_sets);
    for (std::size_t b = 0; b < all_flat.size(); b += 2)
      {
        all_blocks.emplace_back(all_flat[b], all_flat[b + 1]);
        if (all_flat[b] != all_flat[b + 1])
          {
            neighbours[all_flat[b]].push_back(all_flat[b + 1]);
            neighbours[all_flat[b + 1]].push_back(all_flat[b]);
          }
      }
    for (auto &list : neighbours)
      {
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
      }
    const auto levels = [&](const int start, std::vector<int> &sequence) {
      std::vector<char> seen(n_all_sets, 0);
      for (const int s : sequence)
        seen[s] = 1;
      std::size_t q = sequence.size();
      sequence.push_back(start);
      seen[start] = 1;
      for (; q < sequence.size(); ++q)
        {
          std::vector<int> next;
          for (const int s : neighbours[sequence[q]])
            if (!seen[s])
              {
                seen[s] = 1;
                next.push_back(s);
              }
          std::sort(next.begin(), next.end(), [&](const int a, const int b) {
            return std::make_pair(neighbours[a].size(), a) <
                   std::make_pair(neighbours[b].size(), b);
          });
          sequence.insert(sequence.end(), next.begin(), next.end());
        }
    };
    std::vector<int> sequence;
    while (sequence.size() < n_all_sets)
      {
        std::vector<char> seen(n_all_sets, 0);
        for (const int s : sequence)
          seen[s] = 1;
        int start = static_cast<int>(std::find(seen.begin(), seen.end(), 0) -
                                     seen.begin());
        // An end of the graph: the last one reached, twice.
        for (unsigned int pass = 0; pass < 2; ++pass)
          {
            std::vector<int> trial = sequence;
            levels(start, trial);
            start = trial.back();
          }
        levels(start, sequence);
      }
    order.resize(n_all_sets);
    for (unsigned int s = 0; s < n_all_sets; ++s)
      order[sequence[s]] = static_cast<int>(s);
    set_band = 0;
    for (const auto &[i, j] : all_blocks)
      set_band =
        std::max<unsigned int>(set_band, std::abs(order[i] - order[j]));
  }



  void
  PiecewiseCoarseSpace::set_modes(const std::vector<const double *> &directions,
                                  const std::vector<double>         &root,
                                  const unsigned int                 n_modes)
  {
    k             = n_modes;
    const int K   = static_cast<int>(directions.size()),
              all = static_cast<int>(k);
    modes.assign(set_of.size() * k, 0.);
    std::vector<double> local, weighted, gram(K * K), values(K),
      work(34 * std::max(1, K));
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      {
        // The values of V in this set, by columns, and V L.
        const int  size = static_cast<int>(set_starts[s + 1] - set_starts[s]);
        const int *members = &rows[set_starts[s]];
        local.resize(size * K);
        weighted.resize(size * K);
        for (int d = 0; d < K; ++d)
          for (int i = 0; i < size; ++i)
            local[d * size + i] = directions[d][members[i]];
        const double one = 1., zero = 0.;
        // (L by rows is Lᵀ by columns.)
        dgemm_("N",
               "T",
               &size,
               &K,
               &K,
               &one,
               local.data(),
               &size,
               root.data(),
               &K,
               &zero,
               weighted.data(),
               &size);
        dgemm_("T",
               "N",
               &K,
               &K,
               &size,
               &one,
               weighted.data(),
               &size,
               weighted.data(),
               &size,
               &zero,
               gram.data(),
               &K);
        int       info;
        const int n_work = static_cast<int>(work.size());
        dsyev_("V",
               "L",
               &K,
               gram.data(),
               &K,
               values.data(),
               work.data(),
               &n_work,
               &info);
        int n_found = 0;
        while (n_found < std::min(K, all) &&
               values[K - 1 - n_found] > 1e-12 * values[K - 1])
          ++n_found;
        if (info != 0 || !(values[K - 1] > 0.))
          continue;
        // Modes are orthonormal in each set.
        for (int m = 0; m < n_found; ++m)
          {
            double      *vector = &gram[(K - 1 - m) * K];
            const double scale  = 1. / std::sqrt(values[K - 1 - m]);
            for (int d = 0; d < K; ++d)
              vector[d] *= scale;
          }
        local.resize(size * std::max(K, all));
        dgemm_("N",
               "N",
               &size,
               &n_found,
               &K,
               &one,
               weighted.data(),
               &size,
               &gram[(K - n_found) * K],
               &K,
               &zero,
               local.data(),
               &size);
        for (int m = 0; m < n_found; ++m)
          for (int i = 0; i < size; ++i)
            modes[(set_starts[s] + i) * k + m] =
              local[(n_found - 1 - m) * size + i];
      }

    // Those of the ghosts.
    std::vector<double> sent, received(receive_places.size() * k);
    for (const int p : send_places)
      sent.insert(sent.end(), &modes[p * k], &modes[p * k] + k);
    std::vector<int> counts[2] = {send_counts, receive_counts}, starts[2];
    for (unsigned int s = 0; s < 2; ++s)
      {
        for (auto &c : counts[s])
          c *= all;
        starts[s].assign(counts[s].size(), 0);
        std::partial_sum(counts[s].begin(),
                         counts[s].end() - 1,
                         starts[s].begin() + 1);
      }
    MPI_Alltoallv(sent.data(),
                  counts[0].data(),
                  starts[0].data(),
                  MPI_DOUBLE,
                  received.data(),
                  counts[1].data(),
                  starts[1].data(),
                  MPI_DOUBLE,
                  communicator);
    for (std::size_t g = 0; g < receive_places.size(); ++g)
      std::copy_n(&received[g * k], k, &modes[receive_places[g] * k]);
    band = set_band * k + k - 1;
  }



  bool
  PiecewiseCoarseSpace::set_matrix(const LocalMatrix &matrix,
                                   const Symmetry     symmetry)
  {
    parts.assign((n + other_parts.size()) * k, 0.);
    for (std::size_t b = 0; b < matrix.blocks.size(); ++b)
      add_parts(matrix.blocks[b],
                n,
                k,
                part_of_entry[b].data(),
                place.data(),
                modes.data(),
                parts.data());

    const std::size_t   kk = k * k;
    std::vector<double> mine(own_blocks.size() * kk, 0.);
    const int           K   = static_cast<int>(k);
    const double        one = 1., zero = 0.;
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      {
        // (By rows what dgemm takes for columns.)
        const int size = static_cast<int>(set_starts[s + 1] - set_starts[s]);
        dgemm_("N",
               "T",
               &K,
               &K,
               &size,
               &one,
               &parts[set_starts[s] * k],
               &K,
               &modes[set_starts[s] * k],
               &K,
               &zero,
               &mine[s * kk],
               &K);
      }
    for (std::size_t p = 0; p < other_parts.size(); ++p)
      add_outer_product(&mine[other_parts[p].block * kk],
                        &modes[other_parts[p].place * k],
                        &parts[(n + p) * k],
                        k);
    std::vector<double> all(all_blocks.size() * kk);
    std::vector<int>    counts(block_counts.size()), starts(counts.size(), 0);
    for (std::size_t p = 0; p < counts.size(); ++p)
      counts[p] = block_counts[p] / 2 * static_cast<int>(kk);
    std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
    MPI_Allgatherv(mine.data(),
                   static_cast<int>(mine.size()),
                   MPI_DOUBLE,
                   all.data(),
                   counts.data(),
                   starts.data(),
                   MPI_DOUBLE,
                   communicator);

    symmetric = symmetry == Symmetry::definite ||
                (symmetry == Symmetry::automatic && is_symmetric(all));

    const int m = static_cast<int>(n_all_sets * k), w = static_cast<int>(band);
    const int ld = symmetric ? w + 1 : 3 * w + 1;
    factors.assign(static_cast<std::size_t>(m) * ld, 0.);
    for (std::size_t b = 0; b < all_blocks.size(); ++b)
      for (unsigned int r = 0; r < k; ++r)
        for (unsigned int c = 0; c < k; ++c)
          {
            const int i = order[all_blocks[b].first] * static_cast<int>(k) +
                          static_cast<int>(r),
                      j = order[all_blocks[b].second] * static_cast<int>(k) +
                          static_cast<int>(c);
            const double value = all[b * kk + r * k + c];
            if (!symmetric)
              factors[static_cast<std::size_t>(j) * ld + 2 * w + i - j] = value;
            else if (i >= j)
              factors[static_cast<std::size_t>(j) * ld + i - j] = value;
          }
    // Modes that are zero have a one there.
    for (int i = 0; i < m; ++i)
      {
        double &diagonal =
          factors[static_cast<std::size_t>(i) * ld + (symmetric ? 0 : 2 * w)];
        if (diagonal == 0.)
          diagonal = 1.;
      }
    int info;
    if (symmetric)
      dpbtrf_("L", &m, &w, factors.data(), &ld, &info);
    else
      {
        pivots.resize(m);
        dgbtrf_(&m, &m, &w, &w, factors.data(), &ld, pivots.data(), &info);
      }
    return info == 0;
  }



  bool
  PiecewiseCoarseSpace::is_symmetric(const std::vector<double> &blocks) const
  {
    std::map<std::pair<int, int>, std::size_t> begins;
    for (std::size_t b = 0; b < all_blocks.size(); ++b)
      begins[all_blocks[b]] = b * k * k;
    double size = 0., asymmetry = 0.;
    for (const auto &[sets, begin] : begins)
      {
        const auto transposed = begins.find({sets.second, sets.first});
        for (unsigned int r = 0; r < k; ++r)
          for (unsigned int c = 0; c < k; ++c)
            {
              const double entry = blocks[begin + r * k + c],
                           other = transposed == begins.end() ?
                                     0. :
                                     blocks[transposed->second + c * k + r];
              size += entry * entry;
              asymmetry += (entry - other) * (entry - other);
            }
      }
    return asymmetry <= 1e-20 * size;
  }



  bool
  PiecewiseCoarseSpace::fits(const LocalMatrix       &matrix,
                             const std::vector<bool> &is_decoupled) const
  {
    int same =
      matrix.n_rows == n && fingerprint_of(matrix, is_decoupled) == fingerprint;
    MPI_Allreduce(MPI_IN_PLACE, &same, 1, MPI_INT, MPI_MIN, communicator);
    return same != 0;
  }



  std::vector<double>
  PiecewiseCoarseSpace::coarse_solve(std::vector<double> c) const
  {
    MPI_Allreduce(MPI_IN_PLACE,
                  c.data(),
                  static_cast<int>(c.size()),
                  MPI_DOUBLE,
                  MPI_SUM,
                  communicator);
    std::vector<double> ordered(c.size());
    for (unsigned int s = 0; s < n_all_sets; ++s)
      std::copy_n(&c[s * k], k, &ordered[order[s] * k]);
    const int m = static_cast<int>(c.size()), w = static_cast<int>(band),
              one = 1;
    const int ld  = symmetric ? w + 1 : 3 * w + 1;
    int       info;
    if (symmetric)
      dpbtrs_(
        "L", &m, &w, &one, factors.data(), &ld, ordered.data(), &m, &info);
    else
      dgbtrs_("N",
              &m,
              &w,
              &w,
              &one,
              factors.data(),
              &ld,
              pivots.data(),
              ordered.data(),
              &m,
              &info);
    for (unsigned int s = 0; s < n_all_sets; ++s)
      std::copy_n(&ordered[order[s] * k], k, &c[s * k]);
    return c;
  }



  std::vector<double>
  PiecewiseCoarseSpace::solve(const double *r) const
  {
    std::vector<double> c(size(), 0.);
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      {
        double *to = &c[(first_set + s) * k];
        for (std::size_t p = set_starts[s]; p < set_starts[s + 1]; ++p)
          add_scaled(to, r[rows[p]], &modes[p * k], k);
      }
    return coarse_solve(std::move(c));
  }



  std::vector<double>
  PiecewiseCoarseSpace::solve_transposed(const double *y) const
  {
    std::vector<double> c(size(), 0.);
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      {
        double *to = &c[(first_set + s) * k];
        for (std::size_t p = set_starts[s]; p < set_starts[s + 1]; ++p)
          add_scaled(to, y[rows[p]], &parts[p * k], k);
      }
    for (std::size_t p = 0; p < other_parts.size(); ++p)
      add_scaled(&c[other_parts[p].set * k],
                 y[rows[other_parts[p].place]],
                 &parts[(n + p) * k],
                 k);
    return coarse_solve(std::move(c));
  }



  void
  PiecewiseCoarseSpace::add(double                    *x,
                            const double               factor,
                            const std::vector<double> &c) const
  {
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      for (std::size_t p = set_starts[s]; p < set_starts[s + 1]; ++p)
        x[rows[p]] +=
          factor * product(&c[(first_set + s) * k], &modes[p * k], k);
  }



  void
  PiecewiseCoarseSpace::add_product(double                    *x,
                                    const double               factor,
                                    const std::vector<double> &c) const
  {
    for (std::size_t s = 0; s + 1 < set_starts.size(); ++s)
      for (std::size_t p = set_starts[s]; p < set_starts[s + 1]; ++p)
        x[rows[p]] +=
          factor * product(&c[(first_set + s) * k], &parts[p * k], k);
    for (std::size_t p = 0; p < other_parts.size(); ++p)
      x[rows[other_parts[p].place]] +=
        factor * product(&c[other_parts[p].set * k], &parts[(n + p) * k], k);
  }
} // namespace neuraldeal
