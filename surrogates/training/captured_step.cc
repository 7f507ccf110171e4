// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/captured_step.h>

#ifdef NEURALDEAL_WITH_CUDA
#  include <ATen/cuda/CUDAEvent.h>
#  include <ATen/cuda/CUDAGraph.h>
#  include <c10/cuda/CUDAGuard.h>
#  include <c10/cuda/CUDAStream.h>
#endif

namespace neuraldeal
{
#ifdef NEURALDEAL_WITH_CUDA
  struct CapturedStep::Graph
  {
    at::cuda::CUDAGraph graph;

    // Recording is not allowed on the default stream.
    c10::cuda::CUDAStream stream   = c10::cuda::getStreamFromPool();
    bool                  recorded = false;
  };
#else
  struct CapturedStep::Graph
  {};
#endif



  CapturedStep::CapturedStep(const std::function<void()> &function,
                             const torch::Device         &device,
                             const bool                   capture,
                             const unsigned int           warm_up)
    : function(function)
    , device(device)
    , capture(capture && possible(device))
    , remaining_warm_up(warm_up)
  {}



  CapturedStep::~CapturedStep() = default;



  bool
  CapturedStep::possible(const torch::Device &device)
  {
#ifdef NEURALDEAL_WITH_CUDA
    return device.is_cuda();
#else
    (void)device;
    return false;
#endif
  }



  void
  CapturedStep::operator()()
  {
    if (!capture)
      {
        function();
        return;
      }
#ifdef NEURALDEAL_WITH_CUDA
    if (!graph)
      graph = std::make_unique<Graph>();
    // What other streams have written is to be seen here, and the other way
    // round.
    const auto          before = c10::cuda::getCurrentCUDAStream();
    at::cuda::CUDAEvent ready, done;
    ready.record(before);
    ready.block(graph->stream);
    {
      const c10::cuda::CUDAStreamGuard guard(graph->stream);
      if (remaining_warm_up > 0)
        {
          --remaining_warm_up;
          function();
        }
      else
        {
          if (!graph->recorded)
            {
              graph->graph.capture_begin();
              function();
              graph->graph.capture_end();
              graph->recorded = true;
            }
          graph->graph.replay();
        }
    }
    done.record(graph->stream);
    done.block(before);
#endif
  }
} // namespace neuraldeal
