// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/operators/layer_observer.h>

namespace neuraldeal
{
  namespace
  {
    thread_local LayerObserver *youngest = nullptr;
  } // namespace



  LayerObserver::LayerObserver()
    : before(youngest)
  {
    youngest = this;
  }



  LayerObserver::~LayerObserver()
  {
    youngest = before;
  }



  LayerObserver *
  LayerObserver::current()
  {
    return youngest;
  }
} // namespace neuraldeal
