// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "results.h"

#include <fmt/format.h>
#include <neuraldeal/surrogates/calibration.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ThermalBlock
{
  using neuraldeal::Decision;

  unsigned int
  Results::count(const Decision decision) const
  {
    return std::count_if(reports.begin(), reports.end(), [&](const auto &r) {
      return r.decision == decision && !r.audited;
    });
  }



  unsigned int
  Results::n_audited() const
  {
    return std::count_if(reports.begin(), reports.end(), [](const auto &r) {
      return r.audited;
    });
  }



  unsigned int
  Results::n_full_solves() const
  {
    return std::count_if(reports.begin(), reports.end(), [](const auto &r) {
      return r.full_solve();
    });
  }



  unsigned int
  Results::n_violations() const
  {
    return std::count_if(checked.begin(), checked.end(), [&](const auto &c) {
      return c.error > tolerance;
    });
  }



  double
  Results::break_even(const double seconds) const
  {
    // With R ranks, R queries are solved at once.
    const double gain = seconds / ranks - seconds_serving / reports.size();
    return gain > 0 ? std::ceil(seconds_preparation / gain) :
                      std::numeric_limits<double>::infinity();
  }



  std::vector<std::vector<std::string>>
  Results::table() const
  {
    const auto milliseconds = [](const double seconds) {
      return fmt::format("{:.1f} ms", 1e3 * seconds);
    };
    const auto queries = [](const double n) {
      return std::isfinite(n) ? fmt::format("after {:.0f} queries", n) :
                                std::string("never");
    };
    const double n    = reports.size();
    const auto   mesh = [&](const unsigned int cells) {
      return fmt::format("{}{} cells", cells, dimension == 3 ? "³" : "²");
    };
    std::vector<std::vector<std::string>> rows;
    rows.push_back({"", "time a query", "what"});
    rows.push_back({"full solve for each query",
                    milliseconds(seconds_full_solve),
                    mesh(cells)});
    if (equal_error_mesh > 0)
      rows.push_back({"coarser mesh with the same error",
                      milliseconds(seconds_equal_error_mesh),
                      fmt::format("{}, {}: 95 % of its errors are below "
                                  "{:.3f} %, as of the accepted answers",
                                  mesh(equal_error_mesh),
                                  equal_error_solver,
                                  100. * error_quantile)});
    rows.push_back({"coarse solve alone behind the same gate",
                    "",
                    fmt::format("{}: could answer {:.1f} % of the queries; "
                                "within the tolerance are {:.1f} %, which no "
                                "gate could exceed",
                                mesh(coarse_cells),
                                100. * coarse_alone / n,
                                100. * coarse_within_tolerance)});
    rows.push_back(
      {"surrogate with gate",
       milliseconds(seconds_accepted_answer),
       fmt::format("an accepted answer: 1/{:.0f} of the full solve{}",
                   seconds_full_solve / seconds_accepted_answer,
                   equal_error_mesh > 0 ?
                     fmt::format(", 1/{:.1f} of the mesh with the same error",
                                 seconds_equal_error_mesh /
                                   seconds_accepted_answer) :
                     "")});
    rows.push_back({"",
                    milliseconds(seconds_serving * ranks / n),
                    "rank time a query on average, verification, audits and "
                    "full solves included"});
    rows.push_back(
      {"",
       "",
       fmt::format("{} accepted, {} verified, {} corrected, {} resolved, "
                   "{} audited: {:.1f} % without a full solve",
                   count(Decision::accept),
                   count(Decision::verify),
                   count(Decision::correct),
                   count(Decision::resolve),
                   n_audited(),
                   100. * (1. - n_full_solves() / n))});
    rows.push_back({"",
                    "",
                    fmt::format("{} full solves before serving, {} while "
                                "serving",
                                full_solves_before_serving,
                                n_full_solves())});
    const auto interval =
      neuraldeal::binomial_interval(n_violations(), checked.size(), 0.95);
    rows.push_back(
      {"",
       "",
       checked.empty() ?
         std::string("no accepted answer was checked") :
         fmt::format("{} of {} checked accepted answers beyond {:.2g} %: "
                     "{:.1f} % (95 % interval {:.1f} to {:.1f} %)",
                     n_violations(),
                     checked.size(),
                     100. * tolerance,
                     100. * n_violations() / checked.size(),
                     100. * interval.first,
                     100. * interval.second)});
    rows.push_back(
      {"break-even",
       "",
       "against the full solve: " + queries(break_even(seconds_full_solve)) +
         (equal_error_mesh > 0 ?
            "; against the coarser mesh: " +
              queries(break_even(seconds_equal_error_mesh)) :
            "")});
    return rows;
  }



  nlohmann::json
  Results::to_json() const
  {
    nlohmann::json json;
    json["queries"]                    = reports.size();
    json["full_solves_before_serving"] = full_solves_before_serving;
    json["accepted"]                   = count(Decision::accept);
    json["verified"]                   = count(Decision::verify);
    json["corrected"]                  = count(Decision::correct);
    json["resolved"]                   = count(Decision::resolve);
    json["audited"]                    = n_audited();
    json["checked"]                    = checked.size();
    json["violations"]                 = n_violations();
    json["error_quantile_95"]          = error_quantile;
    json["coarse_alone"]               = coarse_alone;
    json["coarse_within_tolerance"]    = coarse_within_tolerance;
    json["seconds_full_solve"]         = seconds_full_solve;
    json["seconds_accepted_answer"]    = seconds_accepted_answer;
    json["seconds_verified_answer"]    = seconds_verified_answer;
    json["equal_error_mesh"]           = equal_error_mesh;
    json["equal_error_solver"]         = equal_error_solver;
    json["seconds_equal_error_mesh"]   = seconds_equal_error_mesh;
    json["seconds_campaign"]           = seconds_campaign;
    json["seconds_training"]           = seconds_training;
    json["seconds_calibration"]        = seconds_calibration;
    json["seconds_preparation"]        = seconds_preparation;
    json["seconds_serving"]            = seconds_serving;
    json["seconds_total"]              = seconds_total;
    json["break_even_full_solve"]      = break_even(seconds_full_solve);
    json["break_even_equal_error_mesh"] =
      equal_error_mesh > 0 ? break_even(seconds_equal_error_mesh) :
                             std::numeric_limits<double>::quiet_NaN();
    json["tolerance"]  = tolerance;
    json["confidence"] = confidence;
    json["dimension"]  = dimension;
    json["cells"]      = cells;
    json["ranks"]      = ranks;
    json["machine"]    = machine;
    for (const auto &mesh : meshes)
      json["meshes"].push_back({{"cells", mesh.cells},
                                {"solver", mesh.solver},
                                {"seconds", mesh.seconds},
                                {"error_quantile_95", mesh.error_quantile}});
    return json;
  }
} // namespace ThermalBlock
