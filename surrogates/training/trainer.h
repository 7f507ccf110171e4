// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_trainer_h
#define neuraldeal_surrogates_training_trainer_h

#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/operators/operator_model.h>
#include <neuraldeal/surrogates/training/adamw.h>
#include <neuraldeal/surrogates/training/captured_step.h>
#include <neuraldeal/surrogates/training/gradient_sum.h>
#include <neuraldeal/surrogates/training/loss_scaler.h>
#include <neuraldeal/surrogates/training/losses.h>
#include <neuraldeal/surrogates/training/parameter_vector.h>

#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace neuraldeal
{
  /**
   * Trains an OperatorModel on samples in memory: AdamW with a learning rate
   * schedule on random batches, each sample turned by a random symmetry of the
   * problem.
   *
   * Everything random is a function of the seed and the epoch, so that a run
   * which is stopped between two epochs and goes on from a file ends with the
   * same weights, bit for bit, as one that was not stopped.
   *
   * On several ranks each takes its share of every batch, and the gradients
   * are added up while the backward pass goes on; see GradientSum. The shares
   * differ by one sample at the most, and a rank may have none. The weights
   * are the same bit for bit on all ranks, and up to rounding those of one
   * rank, but for layers that draw random numbers and losses that are no mean
   * over samples (the floor of RelativeNorm, where it matters). An exception
   * in a step, or in the evaluation after it, ends the training on all ranks.
   * A step is captured (see CapturedStep) by one rank alone only: what a sum
   * over ranks does is none of a graph's business.
   */
  class Trainer
  {
  public:
    /** See descriptions(), where each is explained. */
    struct Parameters
    {
      long           epochs              = 500;
      long           batch_size          = 20;
      double         learning_rate       = 1e-3;
      double         weight_decay        = 1e-4;
      double         clip                = 0;
      double         average             = 0;
      std::string    schedule            = "one-cycle";
      nlohmann::json schedule_parameters = nlohmann::json::object();
      std::string    precision           = "single";
      double         loss_scale          = 0;
      long           scale_interval      = 2000;
      long           patience            = 0;
      long           check_interval      = 10;
      double         bucket_size         = 25;
      bool           overlap             = true;
      bool           capture             = true;
      std::uint64_t  seed                = 1;
    };

    /** How a JSON file names them. */
    static std::vector<ParameterDescription>
    descriptions();

    /**
     * From a JSON object, over the defaults.
     * @param source where it comes from, for error messages.
     */
    static Parameters
    parse(const nlohmann::json &given, const std::string &source);

    /**
     * @param model on its device; its scales have been set.
     * @param training, held_out samples on the same device. Errors on
     * @p held_out, which may be empty, decide when to stop early.
     * @param symmetries [G, P] int64: permutations of the points (those of a
     * grid in order) that map samples to samples; see FieldSymmetry. May be
     * undefined.
     * @param communicator the data, the parameters and the weights have to be
     * the same on all ranks.
     * @throw InputError where the device cannot do what a precision needs.
     */
    Trainer(const std::shared_ptr<OperatorModel> &model,
            const OperatorData                   &training,
            const OperatorData                   &held_out,
            const std::shared_ptr<const Loss>    &loss,
            const torch::Tensor                  &symmetries,
            const Parameters                     &parameters,
            const Communicator                   &communicator = {});

    /**
     * Where a symmetry permutes what is given as well (parameters of sides
     * that change places): the channels of the input in each turned sample,
     * new[k] = old[channels[g][k]], applied beside the permutation of points
     * with the same number. To be called before the first epoch.
     * @param channels [G, in] int64.
     */
    void
    set_channel_symmetries(const torch::Tensor &channels);

    /** What has been measured in the course of the training. */
    struct Epoch
    {
      long   number;        ///< from 1 on
      double training_loss; ///< mean over the batches of the epoch
      double held_out_loss; ///< NaN where it was not computed
    };

    /**
     * Train one epoch more.
     * @return whether there is another one to come.
     */
    bool
    train_epoch();

    /**
     * Train all that remain, then leave the best weights in the model (see
     * finish()).
     * @param progress whether to show how far it has come.
     */
    void
    run(const bool progress);

    /**
     * Put into the model what the training has found: the average of the
     * weights if there is one, and the best on the held-out samples if it
     * stopped early.
     */
    void
    finish();

    /** The loss on @p data with the averaged weights. */
    double
    evaluate(const OperatorData &data);

    const std::vector<Epoch> &
    history() const
    {
      return epochs;
    }

    /** How the gradients of the last step were added up. */
    const GradientSum::Statistics &
    sum_statistics() const
    {
      return gradient_sum.statistics();
    }

    /** Everything that is needed to go on. */
    void
    save(ModelFile &file) const;

    /** Go on where save() was called, with the same data and parameters. */
    void
    load(const ModelFile &file);

  private:
    /** One step on the samples whose numbers stand in `batch`. */
    void
    step();

    /** This rank's part of the gradient of a step. */
    void
    backward();

    /** The loss of a batch in the chosen precision. */
    torch::Tensor
    batch_loss(const OperatorData &batch);

    /** Whether this device and this model can be trained in float16. */
    void
    check_half_precision();

    const std::shared_ptr<OperatorModel> model;
    const OperatorData                   training, held_out;
    const std::shared_ptr<const Loss>    loss;
    const torch::Tensor                  symmetries;
    torch::Tensor                        channel_symmetries;
    const Parameters                     parameters;
    const Communicator                   communicator;
    const long                           steps_per_epoch;

    ParameterVector             weights;
    AdamW                       optimizer;
    std::unique_ptr<LossScaler> scaler; ///< where losses are scaled
    GradientSum                 gradient_sum;

    /**
     * This rank's samples of a batch and their symmetries, [b] int64; they are
     * the batch's samples from number `batch_begin` on.
     */
    torch::Tensor batch, turns;
    long          batch_begin;
    torch::Tensor loss_sum; ///< of the epoch and this rank's samples, [1]
    CapturedStep  captured;

    std::vector<Epoch> epochs;
    double             best_held_out = std::numeric_limits<double>::infinity();
    long               best_epoch    = 0;
    torch::Tensor      best_weights;
  };
} // namespace neuraldeal

#endif
