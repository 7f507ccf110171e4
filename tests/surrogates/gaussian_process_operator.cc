// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <gtest/gtest.h>
#include <neuraldeal/surrogates/uncertainty/gaussian_process_operator.h>

#include <cmath>
#include <limits>

#include "solution_operators.h"

namespace
{
  using namespace neuraldeal;
  using namespace neuraldeal::tests;

  using Parameters       = nlohmann::json;
  const Parameters none  = Parameters::object();
  constexpr double nan   = std::numeric_limits<double>::quiet_NaN();
  const auto       value = [](const torch::Tensor &tensor) {
    return tensor.item<double>();
  };

  std::unique_ptr<ProbabilisticOperator>
  make(const Parameters &parameters = none)
  {
    return make_probabilistic_operator("Gaussian process", parameters, "test");
  }

  ProbabilisticOperator::Task
  task_of(const OperatorData &data, const torch::Tensor &symmetries = {})
  {
    ProbabilisticOperator::Task task;
    task.training   = data;
    task.symmetries = symmetries;
    task.source     = "test";
    return task;
  }

  std::unique_ptr<ProbabilisticOperator>
  fitted(const ProbabilisticOperator::Task &task,
         const Parameters                  &parameters = none)
  {
    auto method = make(parameters);
    method->fit(task);
    return method;
  }

  /** Of the mean, over the norm of the truth. */
  double
  relative_error(const FieldDistribution &said, const OperatorData &data)
  {
    return value((said.mean - data.target).norm() / data.target.norm());
  }

  void
  expect_equal(const FieldDistribution &a, const FieldDistribution &b)
  {
    EXPECT_TRUE(torch::equal(a.mean, b.mean));
    EXPECT_TRUE(torch::equal(a.factor, b.factor));
    EXPECT_TRUE(torch::equal(a.variance, b.variance));
  }

  ModelFile
  file_of(const ProbabilisticOperator &method)
  {
    ModelFile file;
    method.save(file);
    return file;
  }

  /** The square's symmetries on s × s points, [8, s²]. */
  torch::Tensor
  symmetries_of_square(const long s)
  {
    const auto                 grid = torch::arange(s * s).reshape({s, s});
    std::vector<torch::Tensor> result;
    for (const auto &start : {grid, grid.t()})
      for (long turn = 0; turn < 4; ++turn)
        result.push_back(
          torch::rot90(start, turn, {0, 1}).contiguous().flatten());
    return torch::stack(result);
  }

  /** −Δu = f with a product on top, which is not linear but symmetric. */
  OperatorData
  square_problems(const long n, const std::uint64_t number)
  {
    auto data   = poisson_on_the_square(n, 7, 3, number);
    data.target = data.target + 0.2 * data.target.abs() * data.input.fields;
    return data;
  }



  // Modes by a singular value decomposition, kernels by a loop, systems solved
  // for each sample that is left out: nothing in common with the class but the
  // hyperparameters.
  TEST(GaussianProcessOperator, ClosedForm)
  {
    const long n = 9, n_points = 12;
    const auto x = random_normal({n, n_points}, 1);
    const auto y = torch::mm(x, random_normal({n_points, n_points}, 2)).tanh() +
                   0.1 * x + 2.;
    const auto   at = random_normal({3, n_points}, 3);
    OperatorData data, fresh;
    data.input.fields  = x.unsqueeze(1);
    data.target        = y.unsqueeze(1);
    fresh.input.fields = at.unsqueeze(1);
    const auto method  = fitted(task_of(data),
                               {{"input variance", 1.},
                                 {"variance", 1.},
                                 {"modes", 3},
                                 {"length scales", "shared"},
                                 {"logarithm", "never"}});
    const auto said    = method->predict(fresh);
    ASSERT_EQ(said.factor.sizes(),
              (std::vector<std::int64_t>{3, 1, n_points, 3}));
    const auto file = file_of(*method);

    const auto centred = x - x.mean(0);
    // The mean square of all inputs is one, whatever their number.
    const double scale = value(centred.square().sum() / double(n));
    const auto   from  = centred / std::sqrt(scale / double(n - 1)),
               to      = (at - x.mean(0)) / std::sqrt(scale / double(n - 1));
    // What new inputs have outside of the modes of the data counts nowhere.
    const auto inside =
      std::get<2>(at::linalg_svd(centred, false)).slice(0, 0, n - 1);
    const auto to_inside = torch::mm(torch::mm(to, inside.t()), inside);
    const auto kernel    = [&](const torch::Tensor &a,
                            const torch::Tensor &b,
                            const torch::Tensor &parameters) {
      auto         result = torch::empty({a.size(0), b.size(0)}, a.options());
      const double length = std::exp(value(parameters[0])),
                   affine = std::exp(value(parameters[1]));
      for (long i = 0; i < a.size(0); ++i)
        for (long j = 0; j < b.size(0); ++j)
          {
            const double r =
              std::sqrt(5.) * value((a[i] - b[j]).norm()) / length;
            result[i][j] =
              (1. + r + r * r / 3.) * std::exp(-r) +
              affine * (1. + value(torch::dot(a[i], b[j])) / double(n - 1));
          }
      return result;
    };

    const auto [u, values, modes] = at::linalg_svd(y - y.mean(0), false);
    (void)u;
    (void)values;
    auto mean         = y.mean(0).repeat({3, 1});
    auto covariance   = torch::zeros({3, n_points, n_points}, torch::kFloat64);
    const long ends[] = {0, 1, 3};
    for (long group = 0; group < 2; ++group)
      {
        const auto v = modes.slice(0, ends[group], ends[group + 1]);
        const auto t = torch::mm(y - y.mean(0), v.t());
        const auto h = file.tensor("gaussian process " + std::to_string(group) +
                                   ".hyperparameters");
        ASSERT_EQ(h.numel(), 3);
        const double noise = std::exp(value(h[2]));
        const auto   C =
          kernel(from, from, h) + noise * torch::eye(n, torch::kFloat64);
        const auto k = kernel(to_inside, from, h);
        mean += torch::mm(torch::mm(k, at::linalg_solve(C, t)), v);

        auto amplitude = torch::zeros({t.size(1)}, torch::kFloat64);
        for (long i = 0; i < n; ++i)
          {
            std::vector<std::int64_t> others;
            for (long j = 0; j < n; ++j)
              if (j != i)
                others.push_back(j);
            const auto rest = torch::tensor(others);
            const auto B    = C.index_select(0, rest).index_select(1, rest),
                       b    = C[i].index_select(0, rest).unsqueeze(1);
            const auto w    = at::linalg_solve(B, b);
            amplitude +=
              (t[i] - torch::mm(w.t(), t.index_select(0, rest))[0]).square() /
              (value(C[i][i]) - value(torch::mm(w.t(), b))) / double(n);
          }
        const auto own = kernel(to_inside, to_inside, h);
        for (long i = 0; i < 3; ++i)
          {
            const auto   row = k.slice(0, i, i + 1);
            const double left =
              value(own[i][i]) + noise -
              value(torch::mm(row, at::linalg_solve(C, row.t())));
            covariance[i] +=
              left * torch::mm(v.t() * amplitude.unsqueeze(0), v);
          }
      }
    EXPECT_LT(distance(said.mean.squeeze(1), mean), 1e-7);
    const auto F = said.factor.squeeze(1);
    EXPECT_LT(distance(torch::bmm(F, F.transpose(1, 2)), covariance),
              1e-7 * value(covariance.abs().max()));
    EXPECT_GT(value(covariance.diagonal(0, 1, 2).min()), 0.);
  }



  TEST(GaussianProcessOperator, InterpolatesAndKnowsWhereItHasBeen)
  {
    auto data         = periodic_problems(40, 16, 81),
         fresh        = periodic_problems(20, 16, 82);
    const auto linear = fitted(task_of(data));
    EXPECT_LT(relative_error(linear->predict(data), data), 1e-4);
    EXPECT_LT(relative_error(linear->predict(fresh), fresh), 1e-3);

    // No noise either, but too few samples to know it everywhere. (Far away the
    // variance is that of the process without data, and grows no more.)
    for (auto *one : {&data, &fresh})
      one->target = (40. * one->target).sin();
    const auto method  = fitted(task_of(data));
    const auto at_data = method->predict(data);
    EXPECT_LT(relative_error(at_data, data), 0.02);
    EXPECT_GT(relative_error(method->predict(fresh), fresh), 0.04);
    const auto common = [](const FieldDistribution &said) {
      return value(said.factor.square().sum(-1).mean());
    };
    double before = common(at_data);
    for (const double distance : {1., 3.})
      {
        auto far           = fresh;
        far.input.fields   = distance * fresh.input.fields;
        const double there = common(method->predict(far));
        EXPECT_GT(there, 1.5 * before) << distance;
        before = there;
      }
  }



  // The errors of new samples are as large as is said, in all and outside of
  // the modes.
  TEST(GaussianProcessOperator, VariancesAreThoseOfErrors)
  {
    const long n    = 200;
    auto       data = on_the_circle(
      2 * n, 16, 5, 1., [](const double) { return 1.; }, no_angle, 90);
    data.target = data.target + 0.3 * data.target.square() +
                  0.05 * random_normal({2 * n, 1, 16}, 91);
    const auto method = fitted(task_of(data.slice(0, n)), {{"modes", 6}});
    const auto fresh  = data.slice(n, 2 * n);
    const auto said   = method->predict(fresh);
    const auto error  = fresh.target - said.mean;
    EXPECT_NEAR(value(error.square().mean() / said.pointwise_variance().mean()),
                1.,
                0.15);
    const auto modes = std::get<0>(at::linalg_svd(said.factor[0][0], false));
    ASSERT_EQ(modes.size(1), 6);
    const auto rows    = error.squeeze(1);
    const auto outside = rows - torch::mm(torch::mm(rows, modes), modes.t());
    EXPECT_NEAR(value(outside.square().mean() / said.variance.mean()), 1., 0.1);
  }



  TEST(GaussianProcessOperator, ImagesMakeItSymmetric)
  {
    const auto data = square_problems(12, 85), fresh = square_problems(40, 86);
    const auto symmetries = symmetries_of_square(7);
    const auto asymmetry  = [&](const ProbabilisticOperator &method) {
      const auto straight = method.predict(fresh);
      double     result   = 0.;
      for (long g = 0; g < 8; ++g)
        {
          OperatorData turned;
          turned.input.fields  = straight.mean;
          turned.prior         = straight.pointwise_variance();
          turned               = turned.turned(symmetries[g]);
          const auto of_turned = method.predict(fresh.turned(symmetries[g]));
          result =
            std::max({result,
                      distance(of_turned.mean, turned.input.fields) /
                        value(straight.mean.abs().max()),
                      distance(of_turned.pointwise_variance(), turned.prior) /
                        value(turned.prior.max())});
        }
      return result;
    };
    const auto with    = fitted(task_of(data, symmetries)),
               without = fitted(task_of(data, symmetries), {{"images", false}});
    EXPECT_LT(asymmetry(*with), 1e-6);
    EXPECT_GT(asymmetry(*without), 1e-2);
    // It has seen eight times as much.
    EXPECT_LT(relative_error(with->predict(fresh), fresh),
              0.5 * relative_error(without->predict(fresh), fresh));
  }



  // Two channels that change places where the interval is turned.
  TEST(GaussianProcessOperator, SymmetriesOfChannels)
  {
    const auto   f    = random_normal({30, 2, 8}, 92);
    const auto   flip = torch::arange(7, -1, -1);
    OperatorData data;
    data.input.fields = f;
    // The second channel counts as the first does after the flip.
    data.target = (f.slice(1, 0, 1).cumsum(2) +
                   f.slice(1, 1, 2).flip(2).cumsum(2).flip(2)) /
                  3.;
    auto task = task_of(data, torch::stack({torch::arange(8), flip}));
    task.channel_symmetries = torch::tensor({0, 1, 1, 0}).reshape({2, 2});
    const auto   method     = fitted(task);
    OperatorData turned     = data;
    turned.input.fields     = f.flip(1).flip(2);
    turned.target           = data.target.flip(2);
    const auto straight = method->predict(data), back = method->predict(turned);
    EXPECT_LT(distance(back.mean, straight.mean.flip(2)), 1e-6);
    EXPECT_LT(relative_error(back, turned), 1e-2);

    task.channel_symmetries = torch::tensor({0, 1, 0, 1}).reshape({2, 2});
    EXPECT_GT(relative_error(fitted(task)->predict(turned), turned), 0.05);
  }



  TEST(GaussianProcessOperator, KnownPointsAndCoarseSolutions)
  {
    auto data  = on_the_interval(30,
                                interval_grid(11),
                                4,
                                1.,
                                {[](const double omega) {
                                  return 1. / (omega * omega);
                                }},
                                87),
         fresh = on_the_interval(20,
                                 interval_grid(11),
                                 4,
                                 1.,
                                 {[](const double omega) {
                                   return 1. / (omega * omega);
                                 }},
                                 88);
    // Linear in ξ, of which nothing but the coarse solutions tells.
    const auto x = interval_grid(11);
    for (auto *one : {&data, &fresh})
      {
        const auto xi =
          random_normal({one->size(), 1, 1}, one == &data ? 89 : 90);
        one->prior  = one->target + 0.3 + 0.02 * xi;
        one->target = one->target + 0.1 * xi * (x * (1. - x));
      }
    auto task            = task_of(data);
    task.factor          = torch::ones({1, 1, 11}, torch::kFloat64);
    task.factor[0][0][0] = task.factor[0][0][10] = 0.;
    const Parameters all  = {{"input variance", 1.}, {"variance", 1.}};
    const auto       said = fitted(task, all)->predict(fresh);
    for (const long end : {0, 10})
      {
        EXPECT_TRUE(
          torch::equal(said.mean.select(2, end), fresh.prior.select(2, end)));
        EXPECT_EQ(value(said.pointwise_variance().select(2, end).max()), 0.);
      }
    EXPECT_GT(value(said.pointwise_variance().slice(2, 1, 10).min()), 0.);
    const auto inner = [](const torch::Tensor &fields) {
      return fields.slice(2, 1, 10);
    };
    const auto error = [&](const FieldDistribution &answer) {
      return value((inner(answer.mean) - inner(fresh.target)).norm() /
                   inner(fresh.target).norm());
    };
    EXPECT_LT(error(said), 1e-3);

    // Without the coarse solutions nothing is known of ξ.
    auto plain           = data;
    plain.prior          = torch::Tensor();
    auto without         = task;
    without.training     = plain;
    auto fresh_plain     = fresh;
    fresh_plain.prior    = torch::Tensor();
    const auto method    = fitted(without, all);
    const auto uncoupled = method->predict(fresh_plain);
    EXPECT_GT(error(uncoupled), 0.05);
    EXPECT_EQ(value(uncoupled.mean.select(2, 0).abs().max()), 0.);
    expect_sentence(message_of<InputError>([&]() { method->predict(fresh); }),
                    {"coarse solutions", "present", "absent"});
  }



  TEST(GaussianProcessOperator, MaskedPointsHoldAnything)
  {
    auto       data = periodic_problems(20, 12, 81);
    const auto mask = torch::ones({20, 12}, torch::kBool);
    mask.slice(1, 9).fill_(false);
    data.input.mask    = mask;
    auto other         = data;
    other.input.fields = data.input.fields.clone();
    other.input.fields.slice(2, 9).fill_(nan);
    other.target = data.target.clone();
    other.target.slice(2, 9).fill_(nan);
    const auto method = fitted(task_of(data));
    const auto said   = method->predict(data);
    expect_equal(said, fitted(task_of(other))->predict(other));
    EXPECT_EQ(value(said.mean.slice(2, 9).abs().max()), 0.);
    EXPECT_EQ(value(said.pointwise_variance().slice(2, 9).max()), 0.);
    EXPECT_GT(value(said.mean.slice(2, 0, 9).abs().max()), 0.);

    // What is not a number where it counts is not hidden.
    auto wrong                  = data;
    wrong.input.fields          = data.input.fields.clone();
    wrong.input.fields[3][0][2] = nan;
    const auto answer           = method->predict(wrong);
    EXPECT_TRUE(std::isnan(value(answer.mean[3][0][0])));
    EXPECT_TRUE(std::isnan(value(answer.factor[3][0][0][0])));
    EXPECT_TRUE(torch::equal(answer.mean[4], said.mean[4]));

    mask[7][2] = false;
    expect_sentence(message_of<InputError>([&]() { method->predict(data); }),
                    {"mask", "Gaussian process", "fixed points"});
    expect_sentence(message_of<InputError>(
                      [&]() { make()->fit(task_of(data)); }),
                    {"test", "mask", "fixed points"});
  }



  TEST(GaussianProcessOperator, LogarithmsWhereTheyExplainMore)
  {
    auto       data = periodic_problems(60, 16, 81);
    const auto with = [&](const std::string &choice) {
      return fitted(task_of(data.slice(0, 30)), {{"logarithm", choice}})
        ->predict(data.slice(30, 60));
    };
    data.input.fields = (1.5 * data.input.fields).exp();
    expect_equal(with("by evidence"), with("positive channels"));
    EXPECT_LT(relative_error(with("by evidence"), data.slice(30, 60)),
              0.2 * relative_error(with("never"), data.slice(30, 60)));

    // And not where they do not, or do not exist.
    data.input.fields = periodic_problems(60, 16, 81).input.fields;
    expect_equal(with("by evidence"), with("never"));
    data.input.fields =
      data.input.fields + 1.01 * data.input.fields.abs().max();
    expect_equal(with("by evidence"), with("never"));
    EXPECT_GT(distance(with("never").mean, with("positive channels").mean),
              1e-6);
  }



  TEST(GaussianProcessOperator, FilesHoldEverything)
  {
    auto       data   = square_problems(12, 85);
    const auto fresh  = square_problems(6, 86);
    data.prior        = 0.9 * data.target;
    auto coarse       = fresh;
    coarse.prior      = 0.9 * fresh.target;
    data.input.points = coarse.input.points = random_normal({49, 2}, 87);
    for (const long inducing : {0, 20})
      {
        auto                  task   = task_of(data, symmetries_of_square(7));
        const auto            method = fitted(task,
                                   {{"inducing points", inducing},
                                               {"kernel", "Matern 3/2"},
                                               {"modes", 5}});
        const auto            said   = method->predict(coarse);
        const auto            file   = file_of(*method);
        const TemporaryFolder folder;
        file.write(folder / "model");
        // The parameters come out of the file.
        const auto copy = make();
        copy->load(ModelFile::read(folder / "model"));
        expect_equal(copy->predict(coarse), said);

        for (const auto &entry : file.tensors)
          {
            const auto &key     = entry.first;
            auto        damaged = file;
            damaged.tensors.erase(key);
            // Without its points it is one on a grid.
            if (key != "gaussian process.points" &&
                key.find(".inducing") == std::string::npos)
              expect_sentence(message_of<FileError>(
                                [&]() { make()->load(damaged); }),
                              {key.substr(0, key.find('.'))});
            damaged.tensors[key] = torch::zeros({3, 1, 2}, torch::kFloat64);
            expect_sentence(
              message_of<FileError>([&]() { make()->load(damaged); }), {});
          }
        for (const auto &[key, wrong] :
             std::vector<std::pair<std::string, Parameters>>{
               {"method", "dropout"},
               {"parameters", {{"kernel", "none"}}},
               {"parameters", {{"modes", -1}}},
               {"parameters", 3},
               {"coarse solution", "maybe"},
               {"input", {1, 7}},
               {"output", Parameters::array()}})
          {
            auto damaged                         = file;
            damaged.metadata["uncertainty"][key] = wrong;
            expect_sentence(
              message_of<FileError>([&]() { make()->load(damaged); }), {});
          }
        expect_sentence(
          message_of<FileError>([&]() {
            make_probabilistic_operator("dropout", none, "test")->load(file);
          }),
          {"dropout"});
      }
  }



  TEST(GaussianProcessOperator, AnswersInTheTypeOfTheData)
  {
    const auto data   = periodic_problems(20, 16, 81);
    const auto method = fitted(task_of(data));
    const auto said   = method->predict(data);
    const auto single = method->predict(data.to(torch::kFloat32));
    EXPECT_EQ(single.mean.scalar_type(), torch::kFloat32);
    EXPECT_EQ(single.factor.scalar_type(), torch::kFloat32);
    EXPECT_EQ(single.variance.scalar_type(), torch::kFloat32);
    EXPECT_LT(distance(single.mean.to(torch::kFloat64), said.mean),
              1e-4 * value(said.mean.abs().max()));
    method->to(torch::kFloat32);
    expect_equal(method->predict(data), said);
    // One sample by itself has the same answer.
    EXPECT_LT(distance(method->predict(data.slice(3, 4)).mean[0], said.mean[3]),
              1e-12);
  }



  TEST(GaussianProcessOperator, MistakesAreExplained)
  {
    auto       data   = periodic_problems(8, 16, 81);
    const auto method = fitted(task_of(data));
    expect_sentence(message_of<InputError>(
                      [&]() { method->predict(periodic_problems(8, 20, 81)); }),
                    {"shape", "20", "[n, 1, 16]", "fixed points"});
    expect_sentence(message_of<InputError>(
                      [&]() { make()->fit(task_of(data.slice(0, 1))); }),
                    {"test", "training samples", "'1'", "two or more"});
    expect_sentence(message_of<InputError>([&]() {
                      make({{"kernel", "round"}});
                    }),
                    {"round", "Matern 5/2"});
    expect_sentence(message_of<InputError>([&]() {
                      make({{"logarithm", "always"}});
                    }),
                    {"always", "by evidence", "never"});

    auto cloud           = data;
    cloud.input.points   = random_normal({16, 1}, 5);
    const auto at_points = fitted(task_of(cloud));
    expect_sentence(message_of<InputError>([&]() { at_points->predict(data); }),
                    {"points", "absent", "fixed points"});
    auto same         = cloud;
    same.input.points = cloud.input.points.expand({8, 16, 1});
    expect_equal(at_points->predict(same), at_points->predict(cloud));
    same.input.points       = same.input.points.clone();
    same.input.points[5][3] = 7.;
    expect_sentence(message_of<InputError>([&]() { at_points->predict(same); }),
                    {"points", "different", "fixed points"});
    expect_sentence(message_of<InputError>(
                      [&]() { make()->fit(task_of(same)); }),
                    {"test", "points", "different", "fixed points"});

    auto one_sided =
      task_of(data,
              torch::stack({torch::arange(16), torch::arange(15, -1, -1)}));
    one_sided.factor    = torch::ones({16}, torch::kFloat64);
    one_sided.factor[0] = 0.;
    expect_sentence(message_of<InputError>([&]() { make()->fit(one_sided); }),
                    {"test", "not symmetric", "images"});
    make({{"images", false}})->fit(one_sided);
  }
} // namespace
