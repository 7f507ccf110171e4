// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A client of the surrogates room: builds a surrogate by its name, from an
// installed static library.

#include <neuraldeal/surrogates/random.h>
#include <neuraldeal/surrogates/shared_library.h>
#include <neuraldeal/surrogates/surrogate.h>

#include <iostream>

int
main(int, char **argv)
{
  using namespace neuraldeal;

  CounterRandom random(1, CounterRandom::Stream::design, 0);
  const auto    x = random.uniform();

  const auto surrogate =
    make_surrogate("POD network", {InputRange()}, {}, "the client");
  load_shared_libraries({argv[1]}, "the client", "the library");
  make_surrogate("user's surrogate", {InputRange()}, {}, "the client");
  std::cout << "x = " << x << ", " << surrogate->n_snapshots()
            << " snapshots, names: " << SurrogateRegistry::names() << std::endl;
  return x > 0 && x < 1 && surrogate->n_snapshots() == 0 ? 0 : 1;
}
