// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_uncertainty_probabilistic_operator_h
#define neuraldeal_surrogates_uncertainty_probabilistic_operator_h

#include <neuraldeal/surrogates/operators/operator_model.h>
#include <neuraldeal/surrogates/training/trainer.h>
#include <neuraldeal/surrogates/uncertainty/field_distribution.h>

#include <functional>
#include <memory>
#include <string>

namespace neuraldeal
{
  /**
   * A neural operator that answers with a distribution of fields: an operator
   * (any of OperatorRegistry) and a method by which it knows how sure it is.
   *
   * What a method says is its own opinion, of the network's error on inputs
   * like those that it has been trained with. Held-out samples say how much it
   * is worth (see calibrate() and scores).
   */
  class ProbabilisticOperator
  {
  public:
    virtual ~ProbabilisticOperator() = default;

    /** What an operator is built of and learns from. */
    struct Task
    {
      std::string    type; ///< of the operator, as in make_operator()
      nlohmann::json parameters = nlohmann::json::object();
      OperatorShape  shape;
      OperatorData   training; ///< on the device that works
      torch::Tensor  factor;   ///< as in OperatorModel; may be undefined

      /** As the Trainer takes them; may be undefined. */
      torch::Tensor symmetries, channel_symmetries;

      SquaredNorm         norm = mean_square(); ///< of errors
      Trainer::Parameters options;              ///< with the seed of everything
      std::string         source;               ///< for error messages

      /**
       * Who trains. All processes have the same task, and in the end the same
       * operators: those of a method are shared out among them, one after
       * another each, see train_operators().
       */
      Communicator communicator;

      /**
       * Whether all processes train each operator together, with a part of
       * every batch each. The sums of their gradients are rounded otherwise
       * than those of another number of processes.
       */
      bool data_parallel = false;
    };

    /**
     * Whether the method fits operators of @p type, a name in OperatorRegistry:
     * fit() refuses others in a sentence. Most fit all.
     */
    virtual bool
    fits(const std::string &type) const;

    /**
     * Whether fit() trains several operators that processes can share out; one
     * process is as fast as all of them where it does not.
     */
    virtual bool
    is_shared_out() const
    {
      return false;
    }

    /**
     * Train from scratch. Collective over the processes of the task.
     * @throw InputError for operators that do not fit.
     */
    virtual void
    fit(const Task &task) = 0;

    /** Whether the points have to be the same in all samples, masks as well. */
    virtual bool
    needs_fixed_points() const
    {
      return false;
    }

    /** Whether another seed gives another answer. */
    virtual bool
    is_random() const
    {
      return true;
    }

    /**
     * Whether update() learns more samples without training; most methods do
     * not.
     */
    virtual bool
    supports_update() const
    {
      return false;
    }

    /**
     * Learn the samples of @p data as well, at the price of a few evaluations.
     * @throw InputError unless supports_update().
     */
    virtual void
    update(const OperatorData &data);

    /** What is said of @p data, in its precision and on its device. */
    virtual FieldDistribution
    predict(const OperatorData &data) const = 0;

    /** Put everything into @p file. */
    virtual void
    save(ModelFile &file) const = 0;

    /** Restore what save() has written, on the CPU. */
    virtual void
    load(const ModelFile &file) = 0;

    /** Move to the device of @p options, and to its type. */
    virtual void
    to(const torch::TensorOptions &options) = 0;

  protected:
    /**
     * The entry `uncertainty` of the metadata, in which save() names the
     * method.
     * @throw FileError unless it is the one called @p name.
     */
    static nlohmann::json
    description_in(const ModelFile &file, const std::string &name);

    /**
     * @throw InputError unless there is the operator of @p task, and fits.
     * @param name of this method.
     */
    void
    check_fits(const std::string &name, const Task &task) const;
  };

  /** The methods there are. A factory takes complete parameters. */
  using ProbabilisticOperatorFactory =
    std::function<std::unique_ptr<ProbabilisticOperator>(
      const nlohmann::json &parameters)>;
  using ProbabilisticOperatorRegistry =
    Registry<ProbabilisticOperator, ProbabilisticOperatorFactory>;

  /** Register the methods of this library. */
  void
  register_probabilistic_operators();

  /**
   * Build the method called @p name.
   * @param parameters overrides of its defaults.
   * @param source where @p parameters come from, for error messages.
   */
  std::unique_ptr<ProbabilisticOperator>
  make_probabilistic_operator(const std::string    &name,
                              const nlohmann::json &parameters,
                              const std::string    &source);

  /**
   * An operator as @p task says, trained by @p loss: by each process for
   * itself, unless the task is data parallel.
   * @param parameters of the operator.
   * @param seed of weights and batches.
   * @param scales what the scales of the model are taken from, if not from the
   * training data.
   */
  std::shared_ptr<OperatorModel>
  train_operator(const ProbabilisticOperator::Task &task,
                 const nlohmann::json              &parameters,
                 const std::shared_ptr<const Loss> &loss,
                 const std::uint64_t                seed,
                 const OperatorData *const          scales = nullptr);

  /**
   * @p n operators for the same task with other seeds, each of them trained as
   * train_operator() does it, number i with the seed of the task plus i. It is
   * trained by one of the processes, and the others receive its weights: they
   * are the same bit for bit on any number of processes. Where the task is data
   * parallel all processes train one after the other instead.
   * @param task_of if given: the task of number i, which differs from @p task
   * by data and options.
   */
  std::vector<std::shared_ptr<OperatorModel>>
  train_operators(
    const ProbabilisticOperator::Task                            &task,
    const nlohmann::json                                         &parameters,
    const std::shared_ptr<const Loss>                            &loss,
    const long                                                    n,
    const std::function<ProbabilisticOperator::Task(const long)> &task_of = {});

  /** The same for a model that there is, from the weights that it has. */
  void
  train_further(const ProbabilisticOperator::Task    &task,
                const std::shared_ptr<OperatorModel> &model,
                const std::shared_ptr<const Loss>    &loss,
                const std::uint64_t                   seed);
} // namespace neuraldeal

#endif
