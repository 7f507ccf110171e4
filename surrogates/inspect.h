// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_inspect_h
#define neuraldeal_surrogates_inspect_h

#include <nlohmann/json.hpp>

#include <string>

namespace neuraldeal
{
  /**
   * What is in @p path: the folder of a snapshot store, one of its batches, or
   * a model file. All of it is read, so that what is said here is whole.
   *
   * `file`, `kind` ("snapshots" or "model") and `bytes` are always there.
   * - Snapshots: `problem`, `files`, `solved`, `solved by the fallback`,
   *   `failed` (a list of `sample` and `reason`), `seconds` and `iterations` of
   *   a solve, `values`, `points` (`lower` and `upper` corner), `symmetries`,
   *   `parameters` (a list of `name` and range), and the norms `solution`,
   *   `correction` (solution minus coarse solution); where there are
   *   any, `trajectories`, their number `n` and the ranges `steps` and `time`
   *   (`bytes` and all else are without them). Ranges are objects with
   *   `minimum`, `median`, `maximum`, `mean`. A batch without its `space.h5`
   *   has neither `points` nor norms.
   * - Models: `metadata` as it is stored, `tensors` (a list of `name`, `type`,
   *   `shape`, `bytes`), and `held-out`, the errors over the norm of the
   *   solution (`n`, `median`, `95 % quantile`, and of the coarse solution
   *   `coarse median`, `coarse 95 % quantile`), or `unusable`, a sentence that
   *   says why the surrogate could not be loaded.
   *
   * @throw FileError where it is absent, damaged or neither
   */
  nlohmann::json
  inspect(const std::string &path);

  /** What inspect() has found, in lines for people. */
  std::string
  inspection_text(const nlohmann::json &report);
} // namespace neuraldeal

#endif
