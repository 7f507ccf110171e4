// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <ATen/core/grad_mode.h>
#include <neuraldeal/surrogates/operators/layer_observer.h>

namespace neuraldeal
{
  namespace
  {
    thread_local LayerObserver *youngest = nullptr;
  } // namespace



  LayerObserver::LayerObserver()
    : before(youngest)
    , recorded_before(at::GradMode::is_enabled())
  {
    youngest = this;
  }



  LayerObserver::LayerObserver(const std::vector<torch::Tensor> &weights)
    : before(youngest)
    , chosen(weights)
    , recorded_before(at::GradMode::is_enabled())
  {
    at::GradMode::set_enabled(false);
    youngest = this;
  }



  LayerObserver::~LayerObserver()
  {
    youngest = before;
    if (!chosen.empty())
      at::GradMode::set_enabled(recorded_before);
  }



  void
  LayerObserver::add(const ObservedLayer &layer)
  {
    if (chosen.empty())
      {
        layers.push_back(layer);
        return;
      }
    for (const auto &weight : chosen)
      if (weight.is_same(layer.weight) || weight.is_same(layer.bias))
        {
          layers.push_back(layer);
          if (!at::GradMode::is_enabled())
            {
              layers.back().output.requires_grad_(true);
              at::GradMode::set_enabled(true);
            }
          return;
        }
  }



  ObservedLayer *
  LayerObserver::youngest_of(const torch::Tensor &weight)
  {
    return layers.empty() || !layers.back().weight.is_same(weight) ?
             nullptr :
             &layers.back();
  }



  LayerObserver *
  LayerObserver::current()
  {
    return youngest;
  }
} // namespace neuraldeal
