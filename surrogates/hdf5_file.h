// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#ifndef neuraldeal_surrogates_hdf5_file_h
#define neuraldeal_surrogates_hdf5_file_h

#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace neuraldeal
{
  /**
   * An HDF5 file and the few things this project does with one. Errors are
   * FileError with the file's and the data set's name; the library's own
   * error stack is not printed.
   *
   * What several processes write together is put together by
   * write_parallel_file() of the coupling room; this class knows no MPI.
   */
  class HDF5File
  {
  public:
    /** Open for reading. */
    explicit HDF5File(const std::string &filename);

    /** Create, replacing what is there. */
    HDF5File(const std::string &filename,
             const hid_t        access_list,
             const hid_t        transfer_list);

    /**
     * Create at @p place, or in memory where that is empty (image() has it
     * then), what others will move to @p filename, the name that errors say.
     * The values that write() is given stay out of it: pieces() has them.
     * Several processes that make the same calls, but for the columns that
     * they give, have the same file here, and together all of the pieces.
     */
    HDF5File(const std::string &filename, const std::string &place);

    ~HDF5File();

    HDF5File(const HDF5File &) = delete;
    HDF5File &
    operator=(const HDF5File &) = delete;

    /** Close; errors of delayed writing, such as a full disk, appear here. */
    void
    close();

    /** The bytes of a file that is created in memory. */
    std::vector<char>
    image() const;

    /** Values of a data set, and where in the file they belong. */
    struct Piece
    {
      bool              is_whole; ///< all of the data set's columns
      std::uint64_t     begin;    ///< of the data set in the file, in bytes
      std::uint64_t     offset;   ///< of the first of these values in it
      std::uint64_t     stride;   ///< from a row to the next, in bytes
      std::uint64_t     n_rows;
      std::vector<char> bytes; ///< row by row
    };

    /**
     * What has been written apart, a piece for each call of write() with
     * numbers, in their order.
     */
    const std::vector<Piece> &
    pieces() const
    {
      return all_pieces;
    }

    bool
    has(const std::string &name) const;

    /** The extents of a data set. */
    std::vector<hsize_t>
    shape(const std::string &name) const;

    /** Read a whole data set of doubles or of 64-bit integers. */
    template <typename Number>
    std::vector<Number>
    read(const std::string &name) const;

    /**
     * Read rows and columns of a two-dimensional data set of doubles into
     * @p values, which is contiguous.
     */
    void
    read_block(const std::string &name,
               const hsize_t      first_row,
               const hsize_t      n_rows,
               const hsize_t      first_column,
               const hsize_t      n_columns,
               double            *values) const;

    std::string
    read_attribute(const std::string &name) const;

    std::vector<std::string>
    read_strings(const std::string &name) const;

    /**
     * Write a data set of the given shape, each process its columns (or
     * everything, where @p n_columns is that of the shape). The attribute
     * `description` says what it is, with units.
     */
    template <typename Number>
    void
    write(const std::string          &name,
          const std::vector<hsize_t> &shape,
          const Number               *values,
          const hsize_t               first_column,
          const hsize_t               n_columns,
          const std::string          &description);

    /** Write a one-dimensional data set, all of it from here. */
    template <typename Number>
    void
    write(const std::string         &name,
          const std::vector<Number> &values,
          const std::string         &description);

    /**
     * Write a data set of doubles whose rows are those of the data sets
     * @p name of other files, one after the other, as if it had them itself
     * (a virtual data set). Rows that are missing there are not a number.
     *
     * @param shape of the whole; the first extent is that of the rows.
     * @param parts names of the files, relative to this one's folder, and how
     * many rows each of them has.
     */
    void
    write_virtual(const std::string                                  &name,
                  const std::vector<hsize_t>                         &shape,
                  const std::vector<std::pair<std::string, hsize_t>> &parts,
                  const std::string &description);

    void
    write_strings(const std::string              &name,
                  const std::vector<std::string> &values,
                  const std::string              &description);

    void
    write_attribute(const std::string &name, const std::string &value);

    bool
    has_attribute(const std::string &name) const;

    /**
     * Write a list of texts as an attribute of a data set that is there,
     * such as the units of its columns. An empty list is not written.
     */
    void
    write_annotation(const std::string              &dataset,
                     const std::string              &attribute,
                     const std::vector<std::string> &values);

    /** What write_annotation() has written; empty where there is none. */
    std::vector<std::string>
    read_annotation(const std::string &dataset,
                    const std::string &attribute) const;

    /** A link @p name to the root of another file, beside this one. */
    void
    link(const std::string &name, const std::string &other_file);

    const std::string &
    name() const
    {
      return filename;
    }

  private:
    [[noreturn]] void
    fail(const std::string &what) const;

    hid_t
    open_dataset(const std::string &name) const;

    /**
     * The number of elements of a data set that is about to be read. No
     * memory is allocated for more than the file can hold.
     */
    std::size_t
    n_elements(const hid_t dataset, const std::string &name) const;

    void
    describe(const hid_t dataset, const std::string &description);

    const std::string filename;
    hid_t             file          = -1;
    hid_t             transfer_list = 0;

    const bool         apart = false;
    std::vector<Piece> all_pieces;
  };
} // namespace neuraldeal

#endif
