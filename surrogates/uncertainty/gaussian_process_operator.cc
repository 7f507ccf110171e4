// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <neuraldeal/surrogates/pod.h>
#include <neuraldeal/surrogates/uncertainty/gaussian_process_operator.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace neuraldeal
{
  namespace
  {
    constexpr const char *name = "Gaussian process";

    const std::vector<std::string> logarithm_choices = {"by evidence",
                                                        "positive channels",
                                                        "never"};

    /** Samples and images of which modes are made, if there are more. */
    constexpr long max_pod_rows = 2048;

    /** Parts of the samples, each of which is held against the others' modes.
     */
    constexpr long n_folds = 4;

    /** Samples, spread over all, that amplitudes are learned from. */
    constexpr long max_left_out = 256;

    /** Rows of float64 on the CPU, [n, N]. */
    torch::Tensor
    rows_of(const torch::Tensor &fields)
    {
      return fields.detach()
        .to(torch::kCPU, torch::kFloat64)
        .flatten(1)
        .contiguous();
    }



    /** The mean square over points as an inner product of N values. */
    FieldSpace
    space_of_points(const long n, const std::vector<torch::Tensor> &images)
    {
      FieldSpace result;
      const auto i = torch::arange(n);
      result.mass  = torch::sparse_coo_tensor(torch::stack({i, i}),
                                             torch::full({n},
                                                         1. / double(n),
                                                         torch::kFloat64),
                                             {n, n})
                      .coalesce();
      for (const auto &image : images)
        result.symmetries.push_back({torch::Tensor(), image});
      return result;
    }



    /**
     * The symmetries as permutations of all values of a field with
     * @p n_channels channels, the identity if there are none.
     * @param channels of each symmetry, [G, channels], or undefined.
     */
    std::vector<torch::Tensor>
    permutations(const torch::Tensor &points,
                 const torch::Tensor &channels,
                 const long           n_channels,
                 const long           n_points)
    {
      std::vector<torch::Tensor> result;
      for (long g = 0; g < (points.defined() ? points.size(0) : 1); ++g)
        {
          const auto of_points = points.defined() ? points[g].to(torch::kCPU) :
                                                    torch::arange(n_points);
          const auto of_channels = channels.defined() ?
                                     channels[g].to(torch::kCPU) :
                                     torch::arange(n_channels);
          result.push_back(
            (of_channels.unsqueeze(1) * n_points + of_points).flatten());
        }
      return result;
    }



    /** [n, r] for each image as rows, the images of a sample together. */
    torch::Tensor
    by_sample(const std::vector<torch::Tensor> &images)
    {
      return torch::stack(images, 1).flatten(0, 1);
    }



    std::vector<std::int64_t>
    shape_of_sample(const torch::Tensor &fields)
    {
      return fields.sizes().slice(1).vec();
    }



    std::string
    text(const std::vector<std::int64_t> &shape)
    {
      return fmt::format("[n, {}]", fmt::join(shape, ", "));
    }
  } // namespace



  GaussianProcessOperator::Basis
  GaussianProcessOperator::Basis::of_fields(
    const torch::Tensor              &fields,
    const long                        n_channels,
    const std::vector<torch::Tensor> &images,
    const double                      variance,
    const long                        max_modes)
  {
    const auto over_images = [&](const torch::Tensor &values) {
      auto sum = torch::zeros_like(values);
      for (const auto &image : images)
        sum += values.index_select(0, image);
      return sum / double(images.size());
    };
    const long n = fields.size(0), n_values = fields.size(1);
    Basis      result;
    result.mean  = over_images(fields.mean(0));
    result.scale = over_images((fields - result.mean).square().mean(0))
                     .reshape({n_channels, -1})
                     .mean(1, true)
                     .sqrt()
                     .clamp_min(1e-30)
                     .expand({n_channels, n_values / n_channels})
                     .flatten();

    const long m =
      std::min<long>(n, std::max<long>(1, max_pod_rows / images.size()));
    const auto scaled = (fields.slice(0, 0, m) - result.mean) / result.scale;
    result.modes      = compute_pod(m,
                               [&](const long begin, const long end) {
                                 return scaled.slice(0, begin, end);
                               },
                               space_of_points(n_values, images),
                               std::sqrt((1. - variance) *
                                         scaled.square().mean().item<double>()),
                               max_modes,
                               {})
                     .modes;

    result.deviations = torch::ones({result.modes.size(1)}, torch::kFloat64);
    auto squares      = torch::zeros_like(result.deviations);
    for (const auto &image : images)
      squares +=
        result.coefficients(fields.index_select(1, image)).square().mean(0);
    result.deviations =
      (squares / double(images.size())).sqrt().clamp_min(1e-30);
    return result;
  }



  torch::Tensor
  GaussianProcessOperator::Basis::coefficients(
    const torch::Tensor &fields) const
  {
    return torch::mm((fields - mean) / scale, modes) /
           (double(modes.size(0)) * deviations);
  }



  torch::Tensor
  GaussianProcessOperator::Basis::fields() const
  {
    return modes * scale.unsqueeze(1) * deviations;
  }



  std::vector<long>
  GaussianProcessOperator::Basis::groups() const
  {
    std::vector<long> result;
    const long        n_modes = deviations.size(0);
    const double     *size    = deviations.data_ptr<double>();
    for (long begin = 0, end = 0, width = 1; begin < n_modes;
         begin = end, width *= 2)
      {
        end = std::min(begin + width, n_modes);
        // Symmetries mix modes of the same size, which are equal up to
        // rounding.
        while (end < n_modes && size[end] > (1. - 1e-3) * size[end - 1])
          ++end;
        result.push_back(end - begin);
      }
    return result;
  }



  torch::Tensor
  GaussianProcessOperator::Basis::remainder(
    const torch::Tensor              &fields,
    const std::vector<torch::Tensor> &images) const
  {
    auto       sum   = torch::zeros_like(mean);
    const auto shown = this->fields().t();
    for (const auto &image : images)
      {
        const auto turned = fields.index_select(1, image);
        sum += (turned - mean - torch::mm(coefficients(turned), shown))
                 .square()
                 .mean(0);
      }
    return sum / double(images.size());
  }



  std::vector<std::pair<std::string, torch::Tensor *>>
  GaussianProcessOperator::Basis::state()
  {
    return {{"mean", &mean},
            {"scale", &scale},
            {"modes", &modes},
            {"deviations", &deviations}};
  }



  GaussianProcessOperator::GaussianProcessOperator(
    const nlohmann::json &parameters)
    : parameters(parameters)
  {
    check_choice(std::string("the method '") + name + "'",
                 "logarithm",
                 parameters["logarithm"],
                 logarithm_choices);
    // Whether there is such a kernel is better said now than after the modes.
    CovarianceKernel({}, parameters["kernel"], parameters["length scales"]);
  }



  void
  GaussianProcessOperator::check_places(const OperatorData &data,
                                        const std::string  &source) const
  {
    const auto &fields = data.input.fields;
    if (shape_of_sample(fields) != places.input)
      throw InputError(source,
                       "the shape of the fields",
                       fmt::format("[{}]", fmt::join(fields.sizes(), ", ")),
                       text(places.input) + ", since the method '" + name +
                         "' needs fields at fixed points");
    if (data.prior.defined() != with_prior)
      throw InputError(source,
                       "the coarse solutions",
                       with_prior ? "absent" : "present",
                       with_prior ? "present, as in the training" :
                                    "absent, as in the training");
    if (with_prior && shape_of_sample(data.prior) != places.output)
      throw InputError(source,
                       "the shape of the coarse solutions",
                       fmt::format("[{}]", fmt::join(data.prior.sizes(), ", ")),
                       text(places.output));

    const auto fixed = [&](const std::string &entry, const std::string &value) {
      throw InputError(source,
                       entry,
                       value,
                       std::string("the same for all samples, since the "
                                   "method '") +
                         name + "' needs fields at fixed points");
    };
    if (data.input.points.defined() != places.points.defined())
      fixed("the list of points",
            data.input.points.defined() ? "present" : "absent");
    if (places.points.defined())
      {
        const auto found =
          data.input.points.detach().to(torch::kCPU, torch::kFloat64);
        // The same points may come in another precision.
        if (found.size(-1) != places.points.size(1) ||
            found.size(-2) != places.points.size(0) ||
            !((found - places.points).abs().max().item<double>() <=
              1e-5 * places.points.abs().max().item<double>()))
          fixed("the list of points", "different");
      }
    if (data.input.mask.defined())
      {
        const auto found = data.input.mask.flatten(1).to(torch::kCPU).ne(0);
        if (!torch::equal(found, places.counted.ne(0).expand_as(found)))
          fixed("the mask of the points", "different");
      }
  }



  torch::Tensor
  GaussianProcessOperator::given_fields(const OperatorData &data) const
  {
    const auto fields = rows_of(data.input.fields);
    const auto values =
      torch::where(places.logarithmic.ne(0), fields.log(), fields);
    // Masked points hold anything.
    return torch::where(places.counted.ne(0).repeat({places.input[0]}),
                        values,
                        torch::zeros_like(values));
  }



  torch::Tensor
  GaussianProcessOperator::given_priors(const OperatorData &data) const
  {
    if (!with_prior)
      return torch::Tensor();
    const auto fields = rows_of(data.prior);
    return torch::where(places.counted.ne(0).repeat({places.output[0]}),
                        fields,
                        torch::zeros_like(fields));
  }



  torch::Tensor
  GaussianProcessOperator::inputs(const torch::Tensor &fields,
                                  const torch::Tensor &priors) const
  {
    // In the norm of the fields, so that modes which hardly occur do not count.
    const auto weighted = [](const Basis &basis, const torch::Tensor &rows) {
      return basis.coefficients(rows) * basis.deviations /
             basis.deviations.square().mean().sqrt();
    };
    const auto result = weighted(given, fields);
    return with_prior ? torch::cat({result, weighted(prior, priors)}, 1) :
                        result;
  }



  std::vector<long>
  GaussianProcessOperator::input_groups() const
  {
    auto result = given.groups();
    if (with_prior)
      for (const long size : prior.groups())
        result.push_back(size);
    return result;
  }



  torch::Tensor
  GaussianProcessOperator::positive_channels(const OperatorData &data) const
  {
    const auto positive =
      rows_of(data.input.fields)
        .gt(0.)
        .logical_or(places.counted.eq(0).repeat({places.input[0]}))
        .all(0)
        .reshape({places.input[0], -1})
        .all(1, true);
    return positive.expand({places.input[0], places.counted.size(0)})
      .flatten()
      .to(torch::kFloat64);
  }



  void
  GaussianProcessOperator::make_processes()
  {
    GaussianProcess::Parameters choices;
    choices.kernel          = parameters["kernel"];
    choices.length_scales   = parameters["length scales"];
    choices.inducing_points = parameters["inducing points"];
    choices.exact_rows      = parameters["exact rows"];
    choices.search_bound    = false;
    processes.assign(predicted.groups().size(),
                     GaussianProcess(input_groups(), choices));
  }



  void
  GaussianProcessOperator::fit(const Task &task)
  {
    const auto &data     = task.training;
    const long  n        = data.size();
    const long  n_points = data.input.fields.flatten(2).size(2);
    if (n < 2)
      throw InputError(task.source,
                       "the number of training samples",
                       std::to_string(n),
                       std::string("two or more for the method '") + name +
                         "'");
    with_prior     = data.prior.defined();
    places         = Places();
    places.input   = shape_of_sample(data.input.fields);
    places.output  = shape_of_sample(data.target);
    places.counted = torch::ones({n_points}, torch::kFloat64);
    if (data.input.points.defined())
      {
        const auto &points = data.input.points;
        places.points      = (points.dim() == 3 ? points[0] : points)
                          .detach()
                          .to(torch::kCPU, torch::kFloat64);
      }
    if (data.input.mask.defined())
      places.counted =
        data.input.mask[0].flatten().ne(0).to(torch::kCPU, torch::kFloat64);
    check_places(data, task.source);
    places.logarithmic =
      torch::zeros({places.input[0] * n_points}, torch::kFloat64);
    places.unknown = places.counted.repeat({places.output[0]});
    if (task.factor.defined())
      places.unknown =
        places.unknown *
        rows_of(task.factor.ne(0).expand_as(data.target.slice(0, 0, 1)))[0];

    torch::Tensor symmetries, channels;
    if (parameters["images"].get<bool>())
      {
        symmetries = task.symmetries;
        channels   = task.channel_symmetries;
      }
    const auto images =
      permutations(symmetries, channels, places.input[0], n_points);
    const auto output_images =
      permutations(symmetries, {}, places.output[0], n_points);
    for (const auto &image : output_images)
      if (!torch::equal(places.unknown.index_select(0, image), places.unknown))
        throw InputError(task.source,
                         "where the solution is not known",
                         "not symmetric",
                         std::string("what the symmetries map to itself, "
                                     "unless the parameter 'images' of the "
                                     "method '") +
                           name + "' is false");

    const auto priors  = given_priors(data);
    auto       targets = rows_of(data.target);
    if (with_prior)
      targets = targets - rows_of(data.prior);
    targets =
      torch::where(places.unknown.ne(0), targets, torch::zeros_like(targets));

    if (with_prior)
      prior = Basis::of_fields(priors,
                               places.output[0],
                               output_images,
                               parameters["variance"],
                               parameters["input modes"]);
    predicted = Basis::of_fields(targets,
                                 places.output[0],
                                 output_images,
                                 parameters["variance"],
                                 parameters["modes"]);

    // Samples say less about what is outside of modes that are their own.
    remainder       = torch::zeros_like(places.unknown);
    const long last = std::min(n, n_folds);
    for (long fold = 0; fold < last; ++fold)
      {
        const long begin = fold * n / last, end = (fold + 1) * n / last;
        const auto others =
          Basis::of_fields(torch::cat({targets.slice(0, 0, begin),
                                       targets.slice(0, end)}),
                           places.output[0],
                           output_images,
                           1.,
                           predicted.modes.size(1));
        remainder +=
          others.remainder(targets.slice(0, begin, end), output_images) *
          (double(end - begin) / double(n));
      }

    std::vector<torch::Tensor> turned;
    for (const auto &image : output_images)
      turned.push_back(predicted.coefficients(targets.index_select(1, image)));
    const auto answers    = by_sample(turned);
    const long n_images   = images.size();
    const long n_evidence = std::min(
      n, std::max<long>(2, parameters["evidence rows"].get<long>() / n_images));

    torch::Tensor fields;
    const auto    rows_of_samples = [&](const long m) {
      std::vector<torch::Tensor> rows;
      for (std::size_t g = 0; g < images.size(); ++g)
        rows.push_back(
          inputs(fields.slice(0, 0, m).index_select(1, images[g]),
                 with_prior ?
                      priors.slice(0, 0, m).index_select(1, output_images[g]) :
                      priors));
      return by_sample(rows);
    };
    const auto read_fields = [&](const torch::Tensor &logarithmic) {
      places.logarithmic = logarithmic;
      fields             = given_fields(data);
      given              = Basis::of_fields(fields,
                               places.input[0],
                               images,
                               parameters["input variance"],
                               parameters["input modes"]);
    };
    // Minus the evidence of one process for all answers.
    const auto cost = [&](const torch::Tensor &logarithmic) {
      read_fields(logarithmic);
      const auto x = rows_of_samples(n_evidence),
                 y = answers.slice(0, 0, n_evidence * n_images);
      KernelRegression process(CovarianceKernel(input_groups(),
                                                parameters["kernel"],
                                                parameters["length scales"]));
      process.maximize_evidence(x, y);
      return process.cost(x, y).first;
    };
    const auto plain  = torch::zeros_like(places.logarithmic),
               chosen = parameters["logarithm"] == "never" ?
                          plain :
                          positive_channels(data);
    read_fields(parameters["logarithm"] == "by evidence" &&
                    !torch::equal(chosen, plain) && cost(plain) < cost(chosen) ?
                  plain :
                  chosen);

    const auto rows = rows_of_samples(n);
    make_processes();
    const auto                 groups = predicted.groups();
    std::vector<torch::Tensor> noises;
    for (std::size_t i = 0, begin = 0; i < groups.size(); begin += groups[i++])
      {
        const auto part = answers.slice(1, begin, begin + groups[i]);
        processes[i].maximize_evidence(rows, part, n_evidence, n_images);
        processes[i].add(rows, part);

        // Amplitudes by what is said of each sample without it, which holds for
        // answers that are no Gaussian process as well.
        auto       squares = torch::zeros({groups[i]}, torch::kFloat64);
        const long step    = (n + max_left_out - 1) / max_left_out;
        const long n_terms = (n + step - 1) / step * n_images;
        for (long sample = 0; sample < n; sample += step)
          {
            const long first    = sample * n_images;
            const long last_row = first + n_images;
            const auto truth    = part.slice(0, first, last_row);
            const auto without  = processes[i].leave_out(
              first, last_row, rows.slice(0, first, last_row), truth);
            squares += ((truth - without.mean).square() /
                        (1. + without.leverage).unsqueeze(1))
                         .sum(0);
          }
        noises.push_back(squares / double(n_terms));
      }
    noise = torch::cat(noises);
  }



  FieldDistribution
  GaussianProcessOperator::predict(const OperatorData &data) const
  {
    check_places(data, "the program");
    const auto x = inputs(given_fields(data), given_priors(data));
    std::vector<torch::Tensor> means, variances;
    const auto                 groups = predicted.groups();
    for (std::size_t i = 0, begin = 0; i < groups.size(); begin += groups[i++])
      {
        means.push_back(processes[i].predict(x));
        variances.push_back(
          torch::outer(1. + processes[i].leverage(x),
                       noise.slice(0, begin, begin + groups[i])));
      }
    const auto modes = predicted.fields();
    auto mean = predicted.mean + torch::mm(torch::cat(means, 1), modes.t());
    // Not a number times zero is none.
    mean = torch::where(places.unknown.ne(0), mean, torch::zeros_like(mean));
    if (with_prior)
      mean = mean + rows_of(data.prior);

    const auto options = data.input.fields.options();
    auto       shape   = places.output;
    shape.insert(shape.begin(), data.size());
    FieldDistribution result;
    result.mean     = mean.reshape(shape).to(options);
    result.variance = remainder.to(options)
                        .expand({data.size(), remainder.size(0)})
                        .reshape(shape);
    shape.push_back(modes.size(1));
    // Large, and therefore a product in the type of the data.
    result.factor = (modes.to(options) *
                     torch::cat(variances, 1).sqrt().to(options).unsqueeze(1))
                      .reshape(shape);
    return result;
  }



  void
  GaussianProcessOperator::save(ModelFile &file) const
  {
    file.metadata["uncertainty"] = {{"method", name},
                                    {"parameters", parameters},
                                    {"coarse solution", with_prior},
                                    {"input", places.input},
                                    {"output", places.output}};
    const auto put = [&](const std::string &part, const torch::Tensor &tensor) {
      file.tensors["gaussian process." + part] = tensor.contiguous();
    };
    const auto put_basis = [&](const std::string &part, Basis basis) {
      for (const auto &[entry, tensor] : basis.state())
        put(part + "." + entry, *tensor);
    };
    if (places.points.defined())
      put("points", places.points);
    put("counted", places.counted);
    put("unknown", places.unknown);
    put("logarithmic", places.logarithmic);
    put("remainder", remainder);
    put("noise", noise);
    put_basis("given", given);
    if (with_prior)
      put_basis("prior", prior);
    put_basis("predicted", predicted);
    for (std::size_t i = 0; i < processes.size(); ++i)
      processes[i].save(file, "gaussian process " + std::to_string(i));
  }



  void
  GaussianProcessOperator::load(const ModelFile &file)
  {
    const auto description = description_in(file, name);
    Places     read;
    try
      {
        parameters = complete_parameters(
          ProbabilisticOperatorRegistry::entries().at(name).parameters,
          description.at("parameters"),
          file.filename);
        with_prior  = description.at("coarse solution").get<bool>();
        read.input  = description.at("input").get<std::vector<std::int64_t>>();
        read.output = description.at("output").get<std::vector<std::int64_t>>();
      }
    catch (const nlohmann::json::exception &)
      {
        throw FileError(file.filename,
                        "what it says of its Gaussian process is not complete");
      }
    catch (const InputError &error)
      {
        throw FileError(file.filename,
                        std::string("the parameters of its Gaussian process "
                                    "are wrong (") +
                          error.what() + ")");
      }
    const auto is_shape = [](const std::vector<std::int64_t> &shape) {
      return shape.size() >= 2 &&
             std::all_of(shape.begin(), shape.end(), [](const std::int64_t s) {
               return s > 0 && s < (1l << 40);
             });
    };
    // The sizes are held against those of tensors, which cannot be too large.
    const auto take = [&](const std::string               &part,
                          const std::vector<std::int64_t> &shape) {
      const auto &tensor = file.tensor("gaussian process." + part);
      bool        fits   = tensor.scalar_type() == torch::kFloat64 &&
                  tensor.dim() == static_cast<std::int64_t>(shape.size());
      for (std::size_t i = 0; fits && i < shape.size(); ++i)
        fits =
          tensor.size(i) > 0 && (shape[i] < 0 || tensor.size(i) == shape[i]);
      if (!fits)
        throw FileError(file.filename,
                        "its tensor gaussian process." + part +
                          " has another shape or type than its fields");
      return tensor.clone();
    };
    if (!is_shape(read.input) || !is_shape(read.output))
      throw FileError(file.filename,
                      "its Gaussian process has fields without values");
    read.counted        = take("counted", {-1});
    const auto n_points = read.counted.size(0);
    for (const auto &shape : {read.input, read.output})
      {
        double size = 1.;
        for (std::size_t i = 1; i < shape.size(); ++i)
          size *= double(shape[i]);
        if (size != double(n_points))
          throw FileError(file.filename,
                          "its Gaussian process has fields of other sizes "
                          "than the mask");
      }
    if (file.tensors.count("gaussian process.points") > 0)
      read.points = take("points", {n_points, -1});
    const auto take_basis = [&](const std::string &part,
                                const long         n_channels) {
      Basis      basis;
      const auto n     = n_channels * n_points;
      basis.mean       = take(part + ".mean", {n});
      basis.scale      = take(part + ".scale", {n});
      basis.modes      = take(part + ".modes", {n, -1});
      basis.deviations = take(part + ".deviations", {basis.modes.size(1)});
      return basis;
    };
    const auto n_values = read.output[0] * n_points;
    read.unknown        = take("unknown", {n_values});
    read.logarithmic    = take("logarithmic", {read.input[0] * n_points});
    remainder           = take("remainder", {n_values});
    given               = take_basis("given", read.input[0]);
    prior     = with_prior ? take_basis("prior", read.output[0]) : Basis();
    predicted = take_basis("predicted", read.output[0]);
    noise     = take("noise", {predicted.modes.size(1)});
    places    = read;

    try
      {
        make_processes();
      }
    catch (const InputError &error)
      {
        throw FileError(file.filename,
                        std::string("the parameters of its Gaussian process "
                                    "are wrong (") +
                          error.what() + ")");
      }
    const auto groups = predicted.groups();
    for (std::size_t i = 0; i < processes.size(); ++i)
      {
        const auto entry = "gaussian process " + std::to_string(i);
        processes[i].load(file, entry);
        if (processes[i].noise_variance().size(0) != groups[i])
          throw FileError(file.filename,
                          "its " + entry +
                            " has another number of outputs than its modes");
      }
  }



  void
  GaussianProcessOperator::to(const torch::TensorOptions &)
  {}



  void
  GaussianProcessOperator::register_type()
  {
    static const ProbabilisticOperatorRegistry::Registration registration(
      name,
      "Gaussian processes from POD coefficients to POD coefficients: no "
      "operator, no network.",
      {{"logarithm",
        "by evidence",
        0,
        0,
        "Whether the logarithms of given channels that are positive in all "
        "samples are learned from: " +
          listed(logarithm_choices) + "."},
       {"images",
        true,
        0,
        0,
        "Learn from the samples' images under the symmetries of the task."},
       {"input variance",
        0.99,
        0.01,
        1.,
        "Share of the variance of the given fields that their modes hold."},
       {"input modes", 128, 1, 1e4, "Largest number of these modes."},
       {"variance",
        0.9999,
        0.01,
        1.,
        "Share of the variance of what is predicted that its modes hold, and of "
        "that of the coarse solutions."},
       {"modes", 128, 1, 1e4, "Largest number of these modes."},
       {"kernel",
        "Matern 5/2",
        0,
        0,
        "Covariance of the processes, from rough to smooth: " +
          CovarianceKernel::shapes() + "."},
       {"length scales",
        "each group",
        0,
        0,
        "Lengths of the kernel: " + CovarianceKernel::length_scale_choices() +
          ". The groups are one, two, four, … modes of an input."},
       {"evidence rows",
        512,
        2,
        1e5,
        "Rows (samples times images) whose evidence chooses the "
        "hyperparameters; the cost of a step is cubic in it."},
       {"inducing points",
        0,
        0,
        1e5,
        "Points by which sparse Gaussian processes stand for all rows. 0: none "
        "up to the exact rows, 1000 beyond."},
       {"exact rows",
        3000,
        1,
        1e6,
        "Largest number of rows that is learned without inducing points where "
        "their number is 0; a model has their number squared for each group "
        "of modes."}},
      [](const nlohmann::json &given) {
        return std::make_unique<GaussianProcessOperator>(given);
      });
  }
} // namespace neuraldeal
