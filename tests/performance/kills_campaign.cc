// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// kills_campaign FOLDER SAMPLES GROUP_SIZE [--hang SAMPLE SECONDS]
//
// The campaign that is killed by `kills` (see killed_campaigns.h): a small
// Poisson problem, among whose samples some fail and some need the fallback.
// With --hang the solve of one sample never returns, past the time budget.

#include <deal.II/base/mpi.h>

#include <neuraldeal/coupling/campaign.h>
#include <neuraldeal/surrogates/random.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "../coupling/poisson_host.h"

int
main(int argc, char *argv[])
{
  using namespace neuraldeal;
  using VectorType = dealii::LinearAlgebra::distributed::Vector<double>;

  dealii::Utilities::MPI::MPI_InitFinalize mpi(argc, argv, 1);
  return run_program([&]() {
    if (argc != 4 && argc != 7)
      throw std::runtime_error("kills_campaign needs FOLDER SAMPLES GROUP_SIZE "
                               "[--hang SAMPLE SECONDS].");
    const unsigned int            n_samples = std::stoi(argv[2]);
    const ProcessGroups           groups(MPI_COMM_WORLD,
                               std::stoi(argv[3]),
                               "kills_campaign");
    PoissonHost::Host<VectorType> host(groups.group());
    auto                          model = host.model();

    const auto inputs = PoissonHost::Host<VectorType>::inputs();
    const auto design = [&](const long id) {
      return inputs.draw(1, CounterRandom::Stream::design, id);
    };
    Campaign<VectorType>::AdditionalData data;
    data.folder       = argv[1];
    data.max_failures = 0.5;
    Input hanging;
    if (argc == 7)
      {
        hanging          = design(std::stoi(argv[5]));
        data.time_budget = std::stod(argv[6]);
        data.patience    = 2.;
      }

    const auto solve = model.solve;
    model.solve      = [&](const Input &input, VectorType &x) {
      while (input == hanging)
        std::this_thread::sleep_for(std::chrono::seconds(1));
      for (const long id : {3, 4, 10})
        if (input == design(id))
          throw std::runtime_error("sample " + std::to_string(id) +
                                   " is too hard.");
      return solve(input, x);
    };
    model.fallback_solve = [&](const Input &input, VectorType &x) {
      if (input == design(4))
        throw std::runtime_error("for the fallback as well");
      return host.fine.solve(input, x);
    };
    Campaign<VectorType>(model, host.layout, groups, data)
      .run(n_samples, design, "kills", {"a0", "a1", "a2", "a3"});
  });
}
