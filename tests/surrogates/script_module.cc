// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include "script_module.h"

#include <torch/script.h>

namespace neuraldeal::tests
{
  void
  write_script_module(const std::string &filename, const std::string &source)
  {
    torch::jit::Module module("module");
    module.define(source);
    module.save(filename);
  }
} // namespace neuraldeal::tests
