# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later
"""Times of the Fourier operator of the library neuraloperator, for
operators_speed: a training step and the answer to a single input, medians in
milliseconds, as JSON.

The first argument is a folder with the sources neuraloperator, tensorly-torch,
tensorly and opt_einsum, one folder each. Of neuraloperator only the model is
imported, so that the packages of its training tools need not be there.
"""

import json
import statistics
import sys
import time
import types
import warnings

warnings.filterwarnings("ignore")

folder = sys.argv[1]
n_points, width, layers, modes, batch, mixing, threads, repetitions = map(
    int, sys.argv[2:10]
)

for name in ("tensorly-torch", "tensorly", "opt_einsum"):
    sys.path.insert(0, f"{folder}/{name}")
for name in ("neuralop", "neuralop.models"):
    module = types.ModuleType(name)
    module.__path__ = [f"{folder}/neuraloperator/" + name.replace(".", "/")]
    sys.modules[name] = module

import torch
from neuralop.models.fno import FNO

torch.set_num_threads(threads)
torch.manual_seed(1)

# As many frequencies: −m, …, m − 1 in the first direction, 0, …, m − 1 in the
# last one. The peer writes 2m and 2m − 1 for that.
model = FNO(
    n_modes=(2 * modes, 2 * modes - 1),
    in_channels=1,
    out_channels=1,
    hidden_channels=width,
    n_layers=layers,
    lifting_channel_ratio=1,
    projection_channel_ratio=4,
    use_channel_mlp=bool(mixing),
    channel_mlp_expansion=1.0,
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
x = torch.randn(batch, 1, n_points, n_points)
y = torch.randn(batch, 1, n_points, n_points)


def step():
    optimizer.zero_grad(set_to_none=True)
    difference = (model(x) - y).flatten(1).norm(2, 1)
    (difference / y.flatten(1).norm(2, 1)).mean().backward()
    optimizer.step()


def median_ms(function, n):
    function()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


training = median_ms(step, repetitions)
model.eval()
with torch.no_grad():
    inference = median_ms(lambda: model(x[:1]), 4 * repetitions)
print(json.dumps({"training": training, "inference": inference}))
