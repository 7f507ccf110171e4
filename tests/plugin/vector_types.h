// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_plugin_vector_types_h
#define neuraldeal_tests_plugin_vector_types_h

#include <deal.II/lac/la_parallel_vector.h>
#include <deal.II/lac/petsc_vector.h>
#include <deal.II/lac/trilinos_vector.h>
#include <deal.II/lac/vector.h>

#include <gtest/gtest.h>

/** The vectors that the templates of the plugin room are compiled for. */
using VectorTypes =
  testing::Types<dealii::Vector<double>,
                 dealii::LinearAlgebra::distributed::Vector<double>,
                 dealii::TrilinosWrappers::MPI::Vector,
                 dealii::PETScWrappers::MPI::Vector>;

#endif
