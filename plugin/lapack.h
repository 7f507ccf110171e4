// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_plugin_lapack_h
#define neuraldeal_plugin_lapack_h

/**
 * @file
 * The functions of BLAS and LAPACK that this room calls.
 */
extern "C"
{
  void
  dgemm_(const char *,
         const char *,
         const int *,
         const int *,
         const int *,
         const double *,
         const double *,
         const int *,
         const double *,
         const int *,
         const double *,
         double *,
         const int *);
  void
  dsyev_(const char *,
         const char *,
         const int *,
         double *,
         const int *,
         double *,
         double *,
         const int *,
         int *);
  void
  dpbtrf_(const char *, const int *, const int *, double *, const int *, int *);
  void
  dpbtrs_(const char *,
          const int *,
          const int *,
          const int *,
          const double *,
          const int *,
          double *,
          const int *,
          int *);
  void
  dgbtrf_(const int *,
          const int *,
          const int *,
          const int *,
          double *,
          const int *,
          int *,
          int *);
  void
  dgbtrs_(const char *,
          const int *,
          const int *,
          const int *,
          const int *,
          const double *,
          const int *,
          const int *,
          double *,
          const int *,
          int *);
}

#endif
