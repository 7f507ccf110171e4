// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_tests_surrogates_test_tools_h
#define neuraldeal_tests_surrogates_test_tools_h

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/random.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace neuraldeal::tests
{
  /** An empty folder that goes with its object. */
  class TemporaryFolder
  {
  public:
    TemporaryFolder()
    {
      const auto *test = testing::UnitTest::GetInstance()->current_test_info();
      path             = std::filesystem::temp_directory_path() /
             ("neuraldeal-" + std::to_string(::getpid()) + "-" +
              test->test_suite_name() + "-" + test->name());
      std::filesystem::remove_all(path);
      std::filesystem::create_directories(path);
    }

    ~TemporaryFolder()
    {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }

    TemporaryFolder(const TemporaryFolder &) = delete;

    std::string
    operator/(const std::string &name) const
    {
      return (path / name).string();
    }

    std::string
    name() const
    {
      return path.string();
    }

  private:
    std::filesystem::path path;
  };



  /** @p text with nothing in it but letters, digits and underscores. */
  inline std::string
  test_name(std::string text)
  {
    std::replace_if(
      text.begin(),
      text.end(),
      [](const unsigned char c) { return !std::isalnum(c); },
      '_');
    return text;
  }



  inline std::string
  read_bytes(const std::string &filename)
  {
    std::ifstream in(filename, std::ios::binary);
    return {std::istreambuf_iterator<char>(in),
            std::istreambuf_iterator<char>()};
  }



  inline void
  write_bytes(const std::string &filename, const std::string &bytes)
  {
    // Some file systems wait for the disk where an old file is overwritten.
    std::error_code ignored;
    std::filesystem::remove(filename, ignored);
    std::ofstream(filename, std::ios::binary) << bytes;
  }



  /** What an exception of type @p Error says that @p work throws. */
  template <typename Error, typename Work>
  std::string
  message_of(const Work &work)
  {
    try
      {
        work();
      }
    catch (const Error &error)
      {
        return error.what();
      }
    ADD_FAILURE() << "nothing has been thrown";
    return "";
  }



  /** Expects one line that ends like a sentence and contains @p parts. */
  inline void
  expect_sentence(const std::string              &message,
                  const std::vector<std::string> &parts)
  {
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_EQ(message.empty() ? ' ' : message.back(), '.') << message;
    for (const auto &part : parts)
      EXPECT_NE(message.find(part), std::string::npos)
        << "'" << part << "' is not in: " << message;
  }



  /** Independent standard normal numbers; @p number tells draws apart. */
  inline torch::Tensor
  random_normal(const std::vector<std::int64_t> &shape,
                const std::uint64_t              number)
  {
    CounterRandom random(2024, CounterRandom::Stream::check, number);
    auto          result = torch::empty(shape, torch::kFloat64);
    double       *values = result.data_ptr<double>();
    for (std::int64_t i = 0; i < result.numel(); ++i)
      values[i] = random.normal();
    return result;
  }



  /** Independent numbers, uniform in (@p lower, @p upper). */
  inline torch::Tensor
  random_uniform(const std::vector<std::int64_t> &shape,
                 const double                     lower,
                 const double                     upper,
                 const std::uint64_t              number)
  {
    CounterRandom random(2025, CounterRandom::Stream::check, number);
    auto          result = torch::empty(shape, torch::kFloat64);
    double       *values = result.data_ptr<double>();
    for (std::int64_t i = 0; i < result.numel(); ++i)
      values[i] = lower + (upper - lower) * random.uniform();
    return result;
  }



  /** The largest absolute difference. */
  inline double
  distance(const torch::Tensor &a, const torch::Tensor &b)
  {
    EXPECT_EQ(a.sizes(), b.sizes());
    return (a - b).abs().max().item<double>();
  }



  /** Normal numbers of the given size for all weights of @p module, float64. */
  template <typename Module>
  void
  randomize_weights(Module             &module,
                    const double        standard_deviation,
                    const std::uint64_t number)
  {
    module.to(torch::kFloat64);
    std::uint64_t i = 0;
    for (auto &parameter : module.named_parameters())
      parameter.value().set_data(
        standard_deviation *
        random_normal(parameter.value().sizes().vec(), 1000 * number + i++));
  }



  /**
   * Expects of every weight of @p module, a torch::nn::Module in float64, that
   * the derivative of @p loss by it is a difference quotient, and that no
   * tensor of weights is without influence.
   * @param loss of no arguments, a tensor of one entry, the same at each call.
   * @param tolerance relative to the largest derivative of a tensor, plus one.
   */
  template <typename Module, typename Loss>
  void
  check_gradients(Module      &module,
                  const Loss  &loss,
                  const double tolerance = 1e-7)
  {
    const double step = 1e-5;
    module.zero_grad();
    loss().backward();
    auto parameters = module.named_parameters();
    ASSERT_GT(parameters.size(), 0);
    for (auto &parameter : parameters)
      {
        auto &weights = parameter.value();
        ASSERT_EQ(weights.scalar_type(), torch::kFloat64) << parameter.key();
        ASSERT_TRUE(weights.grad().defined()) << parameter.key();
        ASSERT_TRUE(weights.is_contiguous()) << parameter.key();
        const auto    gradient  = weights.grad().contiguous();
        auto          quotients = torch::empty_like(gradient);
        double *const values    = weights.template data_ptr<double>();
        for (std::int64_t i = 0; i < weights.numel(); ++i)
          {
            const double value = values[i];
            values[i]          = value + step;
            const double plus  = loss().template item<double>();
            values[i]          = value - step;
            const double minus = loss().template item<double>();
            values[i]          = value;
            quotients.template data_ptr<double>()[i] =
              (plus - minus) / (2. * step);
          }
        const double largest = gradient.abs().max().template item<double>();
        EXPECT_GT(largest, 1e-6) << parameter.key() << " has no influence";
        EXPECT_LT(distance(gradient, quotients), tolerance * (1. + largest))
          << parameter.key();
      }
  }
} // namespace neuraldeal::tests

#endif
