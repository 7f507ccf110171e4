// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/communicator.h>

#include <stdexcept>

namespace neuraldeal
{
  std::string
  first_message(const std::string &message, const Communicator &communicator)
  {
    if (communicator.size == 1)
      return message;

    // All there is are sums of numbers: of the lengths, then of the letters.
    auto lengths = torch::zeros({communicator.size}, torch::kFloat64);
    lengths[communicator.rank] = double(message.size());
    communicator.sum(lengths);
    for (int rank = 0; rank < communicator.size; ++rank)
      if (const long length = lengths[rank].item<double>(); length > 0)
        {
          auto letters = torch::zeros({length}, torch::kFloat64);
          auto values  = letters.accessor<double, 1>();
          if (rank == communicator.rank)
            for (long i = 0; i < length; ++i)
              values[i] = static_cast<unsigned char>(message[i]);
          communicator.sum(letters);
          std::string result;
          for (long i = 0; i < length; ++i)
            result += static_cast<char>(static_cast<unsigned char>(values[i]));
          return result;
        }
    return "";
  }



  Attempt::Attempt(
    const std::function<void()>                              &work,
    const std::function<std::string(const std::exception &)> &describe)
  {
    try
      {
        work();
        return;
      }
    catch (const std::exception &exception)
      {
        failure = std::current_exception();
        message = describe ? describe(exception) : exception.what();
      }
    catch (...)
      {
        failure = std::current_exception();
      }
    if (message.empty())
      message = "an unknown failure";
  }



  void
  Attempt::throw_together(const Communicator &communicator) const
  {
    const auto first = first_message(message, communicator);
    if (first.empty())
      return;
    if (message == first)
      std::rethrow_exception(failure);
    throw std::runtime_error(first);
  }
} // namespace neuraldeal
