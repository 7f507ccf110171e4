# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# The simulated schedules of the benchmark `campaign`: in the folder of its
# schedules.dat, gnuplot tests/performance/schedules.gnuplot makes
# schedules.svg.

set terminal svg size 640,400 background "white"
set output "schedules.svg"
set logscale x
set xlabel "ranks"
set ylabel "efficiency"
set yrange [0:1.02]
set key bottom left
plot "schedules.dat" using 1:6 with lines dashtype 2 title "best possible", \
  "" using 1:5 with linespoints title "longest first, mean task 1 s", \
  "" using 1:4 with linespoints title "in order, 1 s", \
  "" using 1:3 with linespoints title "longest first, 10 ms", \
  "" using 1:2 with linespoints title "in order, 10 ms"
