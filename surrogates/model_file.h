// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_model_file_h
#define neuraldeal_surrogates_model_file_h

#include <neuraldeal/surrogates/communicator.h>
#include <nlohmann/json.hpp>
#include <torch/types.h>

#include <map>
#include <string>

namespace neuraldeal
{
  /**
   * Named tensors and a JSON document in one file, in the safetensors
   * format: eight bytes with the length of the header (little endian), the
   * header as JSON, the tensors' bytes. The document stands in the header's
   * `__metadata__` under the key `neural.deal`, with a checksum (FNV-1a) of
   * the data followed by the header without it, written with sorted keys and
   * no spaces. Nothing in such a file is ever executed.
   *
   * Tensors are of the types float32, float64, int64 or uint8.
   */
  class ModelFile
  {
  public:
    std::map<std::string, torch::Tensor> tensors;
    nlohmann::json                       metadata = nlohmann::json::object();

    /**
     * The tensor called @p name.
     * @throw FileError where the file has none.
     */
    const torch::Tensor &
    tensor(const std::string &name) const;

    /**
     * The entry @p key of the metadata.
     * @throw FileError where it is absent or of another type.
     */
    template <typename T>
    T
    get(const std::string &key) const;

    /** Write under a temporary name, sync, then rename to @p filename. */
    void
    write(const std::string &filename) const;

    /**
     * @throw FileError where the file is absent, damaged, cut short, or no
     * model of this project.
     */
    static ModelFile
    read(const std::string &filename);

    /** @throw FileError where a tensor holds a value that is not finite. */
    void
    check_finite() const;

    /**
     * Become what the first process of @p communicator has, bit for bit. What
     * the others have is forgotten. Collective.
     */
    void
    broadcast(const Communicator &communicator);

    /** Where this was read from, for error messages. */
    std::string filename = "a model in memory";

  private:
    [[noreturn]] void
    fail_entry(const std::string &key) const;
  };



  template <typename T>
  T
  ModelFile::get(const std::string &key) const
  {
    try
      {
        return metadata.at(key).get<T>();
      }
    catch (const nlohmann::json::exception &)
      {
        fail_entry(key);
      }
  }
} // namespace neuraldeal

#endif
