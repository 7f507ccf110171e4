// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_gradient_sum_h
#define neuraldeal_surrogates_training_gradient_sum_h

#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/training/parameter_vector.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Adds gradients up over ranks while the backward pass goes on (Li et al.,
   * "PyTorch Distributed", VLDB 13, 2020, section 3.2): the weights are cut
   * into buckets, from the last layer to the first one, as their gradients
   * come; where all of a bucket are there, its sum is started. Buckets start
   * in their order, which is the same on all ranks, whatever the order of the
   * gradients.
   *
   * The sums are the same bit for bit whether they are started early or after
   * the backward pass, for they are the same sums of the same buckets. How
   * much of their time is hidden depends on who moves the data: an MPI
   * without a thread or a network card for that does so only in calls, so
   * every gradient that comes also asks the started sums to get on.
   *
   * Where the communicator cannot start sums, buckets are added up one by one
   * at the end. Gradients on a GPU go through the host's memory, a bucket at
   * a time.
   */
  class GradientSum
  {
  public:
    /**
     * @param weights have to outlive this object.
     * @param bucket_bytes most bytes of a bucket of more than one tensor;
     * small networks are cut into about four buckets nevertheless.
     * @param overlap whether to start sums before the backward pass is over.
     */
    GradientSum(const ParameterVector &weights,
                const Communicator    &communicator,
                const double           bucket_bytes,
                const bool             overlap);

    ~GradientSum();

    GradientSum(const GradientSum &) = delete;
    GradientSum &
    operator=(const GradientSum &) = delete;

    /**
     * Run @p work, which makes this rank's gradients by a backward pass, or
     * none where it has no samples; then have gradients() of the weights be
     * the sum over all ranks.
     * @throw std::runtime_error on all ranks, once all sums have ended, where
     * the work of one has failed: with the words of the first that did.
     */
    void
    operator()(const std::function<void()> &work);

    /** What has been done by the last call. */
    struct Statistics
    {
      long buckets = 0;
      long early   = 0; ///< sums started before the work had ended
      long ended   = 0; ///< of these, how many had ended as well
    };

    const Statistics &
    statistics() const
    {
      return counts;
    }

  private:
    struct Bucket
    {
      long          begin, end; ///< in the vector of gradients
      long          n_tensors;
      long          missing; ///< tensors whose gradient has not come
      torch::Tensor sent;    ///< what is added up, on the host
      std::unique_ptr<Communicator::PendingSum> pending;
    };

    class Hook;

    /** The gradient of a tensor of @p bucket has come. */
    void
    arrived(const std::size_t bucket);

    /** Start the next bucket. */
    void
    start_next();

    /** Have the sums that were started get on; forget those that ended. */
    void
    poll();

    const torch::Tensor gradients;
    const Communicator  communicator;
    const bool          overlap;

    std::vector<Bucket> buckets;
    std::size_t         n_started = 0;
    std::size_t         n_ended   = 0; ///< without a gap, from the first on
    bool                working   = false;
    Statistics          counts;

    /** Takes the hooks away from the weights again. */
    std::vector<std::function<void()>> unhook;
  };
} // namespace neuraldeal

#endif
