// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_torch_script_surrogate_h
#define neuraldeal_surrogates_torch_script_surrogate_h

#include <neuraldeal/surrogates/corrected_map_surrogate.h>

namespace neuraldeal
{
  /**
   * A module imported from a TorchScript file, made by torch.jit.script() or
   * torch.jit.trace() and saved by torch.jit.save(), with a remainder and its
   * uncertainty (see CorrectedMapSurrogate). What the module has to be:
   *
   * - `forward(parameters, prior)`, float32 tensors [n, d] and [n, N] on the
   *   CPU for any n ≥ 1, returns the fields, [n, N] float32 or float64.
   *   Parameters are as the host gives them, the prior is its coarse solution
   *   (zero where it has none), values are in the order of the snapshots.
   * - It is used in eval mode, without gradients.
   * - It is deterministic, and what it says of a row does not depend on the
   *   other rows of a batch (up to 1e-4 of its largest value).
   * - Its values are finite for inputs of the snapshots. Where they are not
   *   for a later input, the scale is not finite either, and no such answer
   *   is accepted.
   *
   * fit() verifies all of that on snapshots, predict() the shape and the type.
   *
   * The module has to be trained on other snapshots than those of fit(), or
   * the remainder, and with it the predicted error, is too small.
   *
   * The file stays where it is: a model file holds its name and its hash
   * (FNV-1a), and load() executes nothing of a file with another hash.
   */
  class TorchScriptSurrogate : public CorrectedMapSurrogate
  {
  public:
    /**
     * Does not execute anything of the file yet.
     * @throw InputError where no file is named, FileError where it is absent
     */
    TorchScriptSurrogate(const std::vector<InputRange> &inputs,
                         const nlohmann::json          &parameters);

    /** Make this class known under the name "TorchScript". */
    static void
    register_type();

  private:
    /** @throw FileError naming the file and what of the contract it breaks */
    void
    fit_map(const Snapshots     &training,
            const torch::Tensor &known,
            const FieldSpace    &space,
            const Communicator  &communicator) override;

    void
    verify_map(const Inputs &inputs) override;

    Answer
    map(const Inputs &inputs) const override;

    void
    save_map(ModelFile &file) const override;

    void
    load_map(const ModelFile &file) override;

    /** What forward() returns, verified but for its values. */
    torch::Tensor
    forward(const torch::Tensor &given, const torch::Tensor &prior) const;

    struct Module;

    const std::string             file_name;
    std::shared_ptr<const Module> module;
    std::string                   hash;
  };
} // namespace neuraldeal

#endif
