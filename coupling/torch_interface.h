// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_coupling_torch_interface_h
#define neuraldeal_coupling_torch_interface_h

/**
 * @file
 * The one place where headers of LibTorch and of deal.II meet. Headers of
 * LibTorch use `Assert` as a name, which is a macro of deal.II: it is set
 * aside while they are read, in whatever order the two come.
 * (deal.II/base/undefine_macros.h would remove the macros for good, and
 * deal.II headers that follow need them.)
 */

#pragma push_macro("Assert")
#undef Assert
#include <torch/types.h>
#pragma pop_macro("Assert")

#include <deal.II/base/config.h>

#include <deal.II/base/exceptions.h>

#endif
