// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/training/gradient_sum.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/utils.h>

#include <algorithm>

namespace neuraldeal
{
  /** Called when the gradient of a tensor has been added to where it goes. */
  class GradientSum::Hook : public torch::autograd::FunctionPostHook
  {
  public:
    Hook(GradientSum &sum, const std::size_t bucket)
      : sum(sum)
      , bucket(bucket)
    {}

    torch::autograd::variable_list
    operator()(const torch::autograd::variable_list &outputs,
               const torch::autograd::variable_list &) override
    {
      sum.arrived(bucket);
      return outputs;
    }

  private:
    GradientSum      &sum;
    const std::size_t bucket;
  };



  GradientSum::GradientSum(const ParameterVector &weights,
                           const Communicator    &communicator,
                           const double           bucket_bytes,
                           const bool             overlap)
    : gradients(weights.gradients())
    , communicator(communicator)
    , overlap(overlap && communicator.start_sum)
  {
    if (communicator.size == 1)
      return;
    const double bytes =
      std::min(bucket_bytes, 0.25 * double(gradients.nbytes()));
    const auto &parts = weights.parts();
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      {
        if (buckets.empty() || double((buckets.back().end - part->begin) *
                                      gradients.element_size()) > bytes)
          buckets.push_back({part->begin, part->end, 0, 0, {}, nullptr});
        buckets.back().begin = part->begin;
        ++buckets.back().n_tensors;
        if (!this->overlap)
          continue;
        const auto accumulator =
          torch::autograd::impl::grad_accumulator(part->parameter);
        const auto key = accumulator->add_post_hook(
          std::make_unique<Hook>(*this, buckets.size() - 1));
        // (It also has to be kept alive: a weight does not.)
        unhook.push_back(
          [accumulator, key]() { accumulator->del_post_hook(key); });
      }
  }



  GradientSum::~GradientSum()
  {
    for (const auto &take_away : unhook)
      take_away();
  }



  void
  GradientSum::arrived(const std::size_t bucket)
  {
    // Other backward passes than ours are none of our business.
    if (!working)
      return;
    --buckets[bucket].missing;
    while (n_started < buckets.size() && buckets[n_started].missing == 0)
      start_next();
    poll();
  }



  void
  GradientSum::start_next()
  {
    // The hooks of a backward pass may not be followed by it.
    const torch::NoGradGuard no_gradients;
    auto                    &bucket = buckets[n_started++];
    const auto range = gradients.slice(0, bucket.begin, bucket.end);
    bucket.sent      = range.to(torch::kCPU);
    if (communicator.start_sum)
      bucket.pending = communicator.start_sum(bucket.sent);
    else
      communicator.sum(bucket.sent);
  }



  void
  GradientSum::poll()
  {
    while (n_ended < n_started &&
           (!buckets[n_ended].pending || buckets[n_ended].pending->test()))
      ++n_ended;
  }



  void
  GradientSum::operator()(const std::function<void()> &work)
  {
    if (communicator.size == 1)
      {
        work();
        return;
      }

    for (auto &bucket : buckets)
      bucket.missing = bucket.n_tensors;
    n_started = n_ended = 0;
    working             = overlap;
    const Attempt attempt(work);
    working = false;
    counts  = {long(buckets.size()), long(n_started), long(n_ended)};

    // A rank that has failed takes part as well, or the others would wait.
    while (n_started < buckets.size())
      start_next();
    auto n_failures =
      torch::full({1}, attempt.failed() ? 1. : 0., torch::kFloat64);
    std::unique_ptr<Communicator::PendingSum> pending;
    if (communicator.start_sum)
      pending = communicator.start_sum(n_failures);
    else
      communicator.sum(n_failures);
    for (auto &bucket : buckets)
      {
        if (bucket.pending)
          bucket.pending->wait();
        bucket.pending = nullptr;
        const torch::NoGradGuard no_gradients;
        if (!gradients.device().is_cpu())
          gradients.slice(0, bucket.begin, bucket.end).copy_(bucket.sent);
      }
    if (pending)
      pending->wait();
    // Words are only sent where there are some.
    if (n_failures.item<double>() > 0.)
      attempt.throw_together(communicator);
  }
} // namespace neuraldeal
