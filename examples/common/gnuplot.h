// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_examples_common_gnuplot_h
#define neuraldeal_examples_common_gnuplot_h

#include <stdexcept>
#include <string>
#include <vector>

namespace neuraldeal::examples
{
  /** A picture that gnuplot did not draw; the message is a clause. */
  class GnuplotError : public std::runtime_error
  {
  public:
    using std::runtime_error::runtime_error;
  };

  /**
   * Runs gnuplot, a process for each picture, so that one bad picture does
   * not take the others along. Files are exchanged in a folder of this
   * object's own, removed with it.
   */
  class Gnuplot
  {
  public:
    /** @param program name or path of the gnuplot executable. */
    explicit Gnuplot(const std::string &program = "gnuplot");

    ~Gnuplot();

    Gnuplot(const Gnuplot &) = delete;
    Gnuplot &
    operator=(const Gnuplot &) = delete;

    /**
     * The picture that @p commands make on @p terminal (what follows the
     * words "set terminal"): the bytes of the file.
     * @throw GnuplotError
     */
    std::string
    draw(const std::string &terminal, const std::string &commands);

    /**
     * Leave @p values where gnuplot finds them, as 32-bit floats.
     * @return the quoted file name, for use in commands.
     * @throw GnuplotError
     */
    std::string
    write_binary(const std::vector<float> &values);

    /**
     * @p text as a string of gnuplot's language, in which nothing is
     * substituted. Use with the keyword noenhanced.
     */
    static std::string
    quote(const std::string &text);

  private:
    const std::string program;
    std::string       folder;

    /** Why no further picture is tried: without gnuplot, all are alike. */
    std::string unusable;

    unsigned int n_files = 0;
  };
} // namespace neuraldeal::examples

#endif
