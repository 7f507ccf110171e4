// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

// A program that keeps its symbols to itself, and loads a library.

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/shared_library.h>

#include <iostream>

int
main(int, char **argv)
{
  try
    {
      neuraldeal::load_shared_libraries({argv[1]}, "the program", "a library");
    }
  catch (const neuraldeal::InputError &error)
    {
      std::cerr << "Error: " << error.what() << std::endl;
      return 1;
    }
  return 0;
}
