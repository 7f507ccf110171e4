// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef tests_performance_killed_campaigns_h
#define tests_performance_killed_campaigns_h

#include <cstdint>
#include <set>
#include <string>
#include <vector>

/**
 * Campaigns by `mpirun -np 2` that are killed, all of their processes by
 * SIGKILL, and started again, until they end: does the store that they leave
 * differ from that of one that nobody has killed?
 */
namespace neuraldeal::performance
{
  /**
   * In what two stores differ, a sentence each: they are equal where they
   * have the same samples by id, each of them once, with the same status,
   * reason, iterations, inputs, prior and solution, bit for bit, and the same
   * space. How samples are shared out over files, and the seconds they took,
   * do not count.
   *
   * @param subset samples and space may be absent in @p store, as in a
   * campaign that has not ended.
   */
  std::vector<std::string>
  compare_stores(const std::string &store,
                 const std::string &reference,
                 const bool         subset = false);

  /** The ids of all samples in a store, failed ones among them. */
  std::multiset<long>
  ids_in_store(const std::string &store);

  struct KillsData
  {
    std::string   folder;      ///< for stores; replaced
    unsigned int  n_samples;   ///< in a campaign
    unsigned int  n_kills;     ///< at least so many
    unsigned int  n_in_writes; ///< and of them so many inside a write
    std::uint64_t seed    = 1;
    bool          verbose = false;
  };

  struct KillsResult
  {
    unsigned int n_kills     = 0;
    unsigned int n_in_writes = 0;
    unsigned int n_campaigns = 0; ///< each brought to its end
    unsigned int n_samples   = 0; ///< in all of them
    /** Those that a killed campaign had stored, added up over all kills. */
    unsigned int             n_kept = 0;
    std::vector<std::string> differences;
  };

  /**
   * Run campaigns, in groups of one rank and of two in turn, and kill them at
   * random instants, half of which are chosen by the writes that have begun,
   * half of them by the clock. After each kill what is stored has to be
   * whole, and nothing that was there before may be lost.
   */
  KillsResult
  kill_campaigns(const KillsData &data);

  /** The command of the campaign (see kills_campaign.cc). */
  std::vector<std::string>
  campaign_command(const std::string              &store,
                   const unsigned int              n_samples,
                   const unsigned int              group_size,
                   const std::vector<std::string> &more = {});
} // namespace neuraldeal::performance

#endif
