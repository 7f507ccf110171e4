// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <cmath>
#include <vector>

#include "../coupling/test_tools.h"
#include "convection_diffusion.h"

using namespace dealii;
using namespace neuraldeal::performance;

namespace
{
  /** exp(b·(x − c)/ε), for which −ε Δu + b·∇u = 0: a layer at the outflow. */
  class Layer : public Function<2>
  {
  public:
    Layer(const double diffusion, const Tensor<1, 2> &velocity)
      : diffusion(diffusion)
      , velocity(velocity)
    {}

    double
    value(const Point<2> &p, const unsigned int = 0) const override
    {
      const Point<2> corner(velocity[0] > 0. ? 1. : 0.,
                            velocity[1] > 0. ? 1. : 0.);
      return std::exp(velocity * (p - corner) / diffusion);
    }

  private:
    const double       diffusion;
    const Tensor<1, 2> velocity;
  };



  /** sin(πx) sin(πy), and what is its right-hand side. */
  class Sines : public Function<2>
  {
  public:
    Sines(const bool                  right_hand_side,
          const double                diffusion,
          const dealii::Tensor<1, 2> &velocity)
      : right_hand_side(right_hand_side)
      , diffusion(diffusion)
      , velocity(velocity)
    {}

    double
    value(const Point<2> &p, const unsigned int = 0) const override
    {
      const double sx = std::sin(M_PI * p[0]), sy = std::sin(M_PI * p[1]),
                   cx = std::cos(M_PI * p[0]), cy = std::cos(M_PI * p[1]);
      return right_hand_side ?
               2. * M_PI * M_PI * diffusion * sx * sy +
                 M_PI * (velocity[0] * cx * sy + velocity[1] * sx * cy) :
               sx * sy;
    }

  private:
    const bool         right_hand_side;
    const double       diffusion;
    const Tensor<1, 2> velocity;
  };



  /** The largest nodal error on n × n cells. */
  double
  error(const unsigned int  n,
        const double        diffusion,
        const Tensor<1, 2> &velocity,
        const Function<2>  &right_hand_side,
        const Function<2>  &exact)
  {
    const auto u =
      ConvectionDiffusion(n).solve(diffusion, velocity, right_hand_side, exact);
    double result = 0.;
    for (unsigned int i = 0; i < u.size(); ++i)
      result = std::max(result,
                        std::abs(u(i) - exact.value(
                                          Point<2>(double(i % (n + 1)) / n,
                                                   double(i / (n + 1)) / n))));
    return result;
  }



  Tensor<1, 2>
  direction(const double angle, const double speed = 1.)
  {
    return Tensor<1, 2>({speed * std::cos(angle), speed * std::sin(angle)});
  }
} // namespace



// Along the mesh the values in the nodes are exact, also where a layer is much
// thinner than a cell.
TEST(ConvectionDiffusion, LayerAlongTheMesh)
{
  const Functions::ZeroFunction<2> zero;
  for (const double diffusion : {1., 0.1, 0.01, 0.001})
    for (const double angle : {0., 0.5 * M_PI, M_PI, 1.5 * M_PI})
      {
        auto velocity = direction(angle);
        // Not by a rounding error away from the mesh, but along it.
        velocity[0] = std::round(velocity[0]);
        velocity[1] = std::round(velocity[1]);
        EXPECT_LT(
          error(16, diffusion, velocity, zero, Layer(diffusion, velocity)),
          1e-10)
          << diffusion << " " << angle;
      }
}



TEST(ConvectionDiffusion, SecondOrderInALayer)
{
  const Functions::ZeroFunction<2> zero;
  const double                     diffusion = 0.2;
  for (const double angle : {0.4, 1.1, 2.5, 4.})
    {
      const auto   velocity = direction(angle, 2.);
      const Layer  exact(diffusion, velocity);
      const double coarse = error(32, diffusion, velocity, zero, exact),
                   fine   = error(64, diffusion, velocity, zero, exact);
      EXPECT_LT(fine, 5e-3);
      EXPECT_NEAR(std::log2(coarse / fine), 2., 0.2) << angle;
    }
}



// The right-hand side, where the streamline terms act on it, too.
TEST(ConvectionDiffusion, SecondOrderWithASource)
{
  for (const double diffusion : {1., 0.05})
    {
      const auto velocity = direction(0.7);
      double     errors[2];
      for (const unsigned int k : {0, 1})
        errors[k] = error(k == 0 ? 32 : 64,
                          diffusion,
                          velocity,
                          Sines(true, diffusion, velocity),
                          Sines(false, diffusion, velocity));
      EXPECT_LT(errors[1], 5e-3);
      EXPECT_NEAR(std::log2(errors[0] / errors[1]), 2., 0.3) << diffusion;
    }
}



TEST(ConvectionDiffusion, WithoutFlow)
{
  const Tensor<1, 2> none;
  const double
    coarse =
      error(16, 0.5, none, Sines(true, 0.5, none), Sines(false, 0.5, none)),
    fine =
      error(32, 0.5, none, Sines(true, 0.5, none), Sines(false, 0.5, none));
  EXPECT_NEAR(std::log2(coarse / fine), 2., 0.1);
}



TEST(ConvectionDiffusion, WeightsAddUpToTheArea)
{
  const auto weights = ConvectionDiffusion(8).weights();
  double     sum     = 0.;
  for (const double weight : weights)
    {
      EXPECT_GT(weight, 0.);
      sum += weight;
    }
  EXPECT_NEAR(sum, 1., 1e-13);
}
