// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_training_trainer_h
#define neuraldeal_surrogates_training_trainer_h

#include <neuraldeal/surrogates/communicator.h>
#include <neuraldeal/surrogates/operators/operator_model.h>
#include <neuraldeal/surrogates/training/adamw.h>
#include <neuraldeal/surrogates/training/captured_step.h>
#include <neuraldeal/surrogates/training/losses.h>
#include <neuraldeal/surrogates/training/parameter_vector.h>

#include <limits>
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
   * are added up.
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
      long           patience            = 0;
      long           check_interval      = 10;
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
     * grid in order) that map samples to samples; see Symmetry. May be
     * undefined.
     */
    Trainer(const std::shared_ptr<OperatorModel> &model,
            const OperatorData                   &training,
            const OperatorData                   &held_out,
            const std::shared_ptr<const Loss>    &loss,
            const torch::Tensor                  &symmetries,
            const Parameters                     &parameters,
            const Communicator                   &communicator = {});

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

    /** The loss of a batch in the chosen precision. */
    torch::Tensor
    batch_loss(const OperatorData &batch);

    const std::shared_ptr<OperatorModel> model;
    const OperatorData                   training, held_out;
    const std::shared_ptr<const Loss>    loss;
    const torch::Tensor                  symmetries;
    const Parameters                     parameters;
    const Communicator                   communicator;
    const long                           steps_per_epoch;

    ParameterVector weights;
    AdamW           optimizer;

    /** This rank's samples of a batch and their symmetries, [b] int64. */
    torch::Tensor batch, turns;
    torch::Tensor loss_sum; ///< of the epoch, [1]
    CapturedStep  captured;

    std::vector<Epoch> epochs;
    double             best_held_out = std::numeric_limits<double>::infinity();
    long               best_epoch    = 0;
    torch::Tensor      best_weights;
  };
} // namespace neuraldeal

#endif
