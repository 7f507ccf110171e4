// neural.deal: neural operators beside the solvers of deal.II
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

#include <neuraldeal/surrogates/exceptions.h>
#include <neuraldeal/surrogates/hdf5_file.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

namespace neuraldeal
{
  namespace
  {
    /** Closes an HDF5 object at the end of its scope. */
    class Handle
    {
    public:
      Handle(const hid_t id, herr_t (*close)(hid_t))
        : id(id)
        , close(close)
      {}

      ~Handle()
      {
        if (id >= 0)
          close(id);
      }

      Handle(const Handle &) = delete;

      operator hid_t() const
      {
        return id;
      }

    private:
      const hid_t id;
      herr_t (*const close)(hid_t);
    };

    template <typename Number>
    hid_t
    type_of()
    {
      static_assert(std::is_same_v<Number, double> ||
                    std::is_same_v<Number, std::int64_t>);
      return std::is_same_v<Number, double> ? H5T_NATIVE_DOUBLE :
                                              H5T_NATIVE_INT64;
    }

    void
    silence()
    {
      H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    }

    /** A type for strings of one length, the longest of @p values. */
    hid_t
    string_type(const std::vector<std::string> &values)
    {
      std::size_t length = 1;
      for (const auto &value : values)
        length = std::max(length, value.size());
      const hid_t type = H5Tcopy(H5T_C_S1);
      H5Tset_size(type, length);
      H5Tset_cset(type, H5T_CSET_UTF8);
      H5Tset_strpad(type, H5T_STR_NULLPAD);
      return type;
    }
  } // namespace



  HDF5File::HDF5File(const std::string &filename)
    : filename(filename)
    , transfer_list(H5P_DEFAULT)
  {
    silence();
    file = H5Fopen(filename.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
      fail("there is no such file, or it is no readable HDF5 file");
  }



  HDF5File::HDF5File(const std::string &filename,
                     const hid_t        access_list,
                     const hid_t        transfer_list)
    : filename(filename)
    , transfer_list(transfer_list)
  {
    silence();
    file = H5Fcreate(filename.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_list);
    if (file < 0)
      fail("it could not be created (does the folder exist, is it writable, "
           "is the disk full?)");
  }



  HDF5File::HDF5File(const std::string &filename, const std::string &place)
    : filename(filename)
    , transfer_list(H5P_DEFAULT)
    , apart(true)
  {
    silence();
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    if (place.empty())
      H5Pset_fapl_core(access, 1 << 20, false);
    file = H5Fcreate((place.empty() ? filename : place).c_str(),
                     H5F_ACC_TRUNC,
                     H5P_DEFAULT,
                     access);
    if (file < 0)
      fail("it could not be put together (is the memory full?)");
  }



  HDF5File::~HDF5File()
  {
    if (file >= 0)
      H5Fclose(file);
  }



  void
  HDF5File::close()
  {
    const hid_t closing = file;
    file                = -1;
    if (H5Fclose(closing) < 0)
      fail("it could not be written to its end (is the disk full?)");
  }



  std::vector<char>
  HDF5File::image() const
  {
    const bool    flushed = H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
    const ssize_t size    = H5Fget_file_image(file, nullptr, 0);
    if (!flushed || size < 0)
      fail("it could not be put together");
    std::vector<char> result(size);
    if (H5Fget_file_image(file, result.data(), result.size()) != size)
      fail("it could not be put together");
    return result;
  }



  void
  HDF5File::fail(const std::string &what) const
  {
    throw FileError(filename, what);
  }



  bool
  HDF5File::has(const std::string &name) const
  {
    return H5Lexists(file, name.c_str(), H5P_DEFAULT) > 0;
  }



  hid_t
  HDF5File::open_dataset(const std::string &name) const
  {
    const hid_t dataset =
      has(name) ? H5Dopen2(file, name.c_str(), H5P_DEFAULT) : -1;
    if (dataset < 0)
      fail("it has no data set '" + name +
           "', so it was not written by this "
           "project");
    return dataset;
  }



  std::size_t
  HDF5File::n_elements(const hid_t dataset, const std::string &name) const
  {
    const Handle   space(H5Dget_space(dataset), H5Sclose);
    const Handle   type(H5Dget_type(dataset), H5Tclose);
    const hssize_t n     = H5Sget_simple_extent_npoints(space);
    const hsize_t  bytes = H5Tget_size(type);
    // Compression makes data a thousand times smaller at the most (deflate);
    // what claims more than that is damaged, or has never been written.
    const hsize_t most = 1100 * H5Dget_storage_size(dataset);
    if (n < 0 || bytes == 0 || hsize_t(n) > most / bytes)
      fail("the data set '" + name + "' cannot be read");
    return n;
  }



  std::vector<hsize_t>
  HDF5File::shape(const std::string &name) const
  {
    const Handle         dataset(open_dataset(name), H5Dclose);
    const Handle         space(H5Dget_space(dataset), H5Sclose);
    std::vector<hsize_t> extents(
      std::max(H5Sget_simple_extent_ndims(space), 0));
    H5Sget_simple_extent_dims(space, extents.data(), nullptr);
    return extents;
  }



  template <typename Number>
  std::vector<Number>
  HDF5File::read(const std::string &name) const
  {
    const Handle        dataset(open_dataset(name), H5Dclose);
    std::vector<Number> values(n_elements(dataset, name));
    if (H5Dread(dataset,
                type_of<Number>(),
                H5S_ALL,
                H5S_ALL,
                H5P_DEFAULT,
                values.data()) < 0)
      fail("the data set '" + name + "' cannot be read");
    return values;
  }



  void
  HDF5File::read_block(const std::string &name,
                       const hsize_t      first_row,
                       const hsize_t      n_rows,
                       const hsize_t      first_column,
                       const hsize_t      n_columns,
                       double            *values) const
  {
    const Handle  dataset(open_dataset(name), H5Dclose);
    const Handle  space(H5Dget_space(dataset), H5Sclose);
    const hsize_t offset[] = {first_row, first_column};
    const hsize_t count[]  = {n_rows, n_columns};
    const Handle  memory(H5Screate_simple(2, count, nullptr), H5Sclose);
    if (H5Sget_simple_extent_ndims(space) != 2 ||
        H5Sselect_hyperslab(
          space, H5S_SELECT_SET, offset, nullptr, count, nullptr) < 0 ||
        H5Dread(
          dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values) < 0)
      fail("the data set '" + name + "' cannot be read");
  }



  std::string
  HDF5File::read_attribute(const std::string &name) const
  {
    if (H5Aexists(file, name.c_str()) <= 0)
      fail("it has no attribute '" + name +
           "', so it was not written by this project");
    const Handle attribute(H5Aopen(file, name.c_str(), H5P_DEFAULT), H5Aclose);
    const Handle type(H5Aget_type(attribute), H5Tclose);
    const Handle space(H5Aget_space(attribute), H5Sclose);
    std::string  value(H5Tget_size(type), '\0');
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 ||
        H5Sget_simple_extent_npoints(space) != 1 ||
        H5Aread(attribute, type, value.data()) < 0)
      fail("its attribute '" + name + "' cannot be read");
    return value.substr(0, value.find('\0'));
  }



  std::vector<std::string>
  HDF5File::read_strings(const std::string &name) const
  {
    const Handle      dataset(open_dataset(name), H5Dclose);
    const Handle      type(H5Dget_type(dataset), H5Tclose);
    const std::size_t n      = n_elements(dataset, name);
    const std::size_t length = H5Tget_size(type);
    std::string       data(length * n, '\0');
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0 ||
        H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data.data()) < 0)
      fail("the data set '" + name + "' cannot be read");
    std::vector<std::string> values;
    for (std::size_t i = 0; i < n; ++i)
      {
        const std::string value = data.substr(i * length, length);
        values.push_back(value.substr(0, value.find('\0')));
      }
    return values;
  }



  void
  HDF5File::describe(const hid_t dataset, const std::string &description)
  {
    const Handle type(string_type({description}), H5Tclose);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(
      H5Acreate2(dataset, "description", type, space, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
    if (H5Awrite(attribute, type, description.data()) < 0)
      fail("it could not be written (is the disk full?)");
  }



  template <typename Number>
  void
  HDF5File::write(const std::string          &name,
                  const std::vector<hsize_t> &shape,
                  const Number               *values,
                  const hsize_t               first_column,
                  const hsize_t               n_columns,
                  const std::string          &description)
  {
    const Handle space(H5Screate_simple(shape.size(), shape.data(), nullptr),
                       H5Sclose);
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (apart)
      {
        // It has its place in the file, and nothing is written there.
        H5Pset_layout(creation, H5D_CONTIGUOUS);
        H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
      }
    const Handle dataset(H5Dcreate2(file,
                                    name.c_str(),
                                    type_of<Number>(),
                                    space,
                                    H5P_DEFAULT,
                                    creation,
                                    H5P_DEFAULT),
                         H5Dclose);
    if (apart)
      {
        Piece piece{n_columns == shape.back(), 0, 0, 0, 0, {}};
        if (dataset >= 0 && H5Sget_simple_extent_npoints(space) > 0)
          {
            const haddr_t begin = H5Dget_offset(dataset);
            if (begin == HADDR_UNDEF)
              fail("the data set '" + name + "' has no place in it");
            piece.begin  = begin;
            piece.offset = first_column * sizeof(Number);
            piece.stride = shape.back() * sizeof(Number);
            piece.n_rows = 1;
            for (std::size_t d = 0; d + 1 < shape.size(); ++d)
              piece.n_rows *= shape[d];
            const auto *const bytes = reinterpret_cast<const char *>(values);
            piece.bytes.assign(bytes,
                               bytes +
                                 piece.n_rows * n_columns * sizeof(Number));
          }
        all_pieces.push_back(std::move(piece));
        if (dataset < 0)
          fail("the data set '" + name + "' could not be put together");
        describe(dataset, description);
        return;
      }
    std::vector<hsize_t> offset(shape.size(), 0), count = shape;
    offset.back() = first_column;
    count.back()  = n_columns;
    const Handle memory(H5Screate_simple(count.size(), count.data(), nullptr),
                        H5Sclose);
    const bool   selected = H5Sselect_hyperslab(space,
                                              H5S_SELECT_SET,
                                              offset.data(),
                                              nullptr,
                                              count.data(),
                                              nullptr) >= 0;
    // Of a data set without values there is nothing to write, which HDF5
    // refuses to do collectively.
    const bool is_empty = H5Sget_simple_extent_npoints(space) == 0;
    if (dataset < 0 || !selected ||
        (!is_empty &&
         H5Dwrite(
           dataset, type_of<Number>(), memory, space, transfer_list, values) <
           0))
      fail("the data set '" + name +
           "' could not be written (is the disk full?)");
    describe(dataset, description);
  }



  template <typename Number>
  void
  HDF5File::write(const std::string         &name,
                  const std::vector<Number> &values,
                  const std::string         &description)
  {
    write(name, {values.size()}, values.data(), 0, values.size(), description);
  }



  void
  HDF5File::write_virtual(
    const std::string                                  &name,
    const std::vector<hsize_t>                         &shape,
    const std::vector<std::pair<std::string, hsize_t>> &parts,
    const std::string                                  &description)
  {
    const Handle space(H5Screate_simple(shape.size(), shape.data(), nullptr),
                       H5Sclose);
    const Handle list(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    const double missing = std::numeric_limits<double>::quiet_NaN();
    bool good = H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &missing) >= 0;
    std::vector<hsize_t> offset(shape.size(), 0), count = shape;
    for (const auto &[file_name, n_rows] : parts)
      {
        count[0] = n_rows;
        const Handle source(
          H5Screate_simple(count.size(), count.data(), nullptr), H5Sclose);
        good = good &&
               H5Sselect_hyperslab(space,
                                   H5S_SELECT_SET,
                                   offset.data(),
                                   nullptr,
                                   count.data(),
                                   nullptr) >= 0 &&
               H5Pset_virtual(
                 list, space, file_name.c_str(), name.c_str(), source) >= 0;
        offset[0] += n_rows;
      }
    H5Sselect_all(space);
    const Handle dataset(H5Dcreate2(file,
                                    name.c_str(),
                                    H5T_NATIVE_DOUBLE,
                                    space,
                                    H5P_DEFAULT,
                                    list,
                                    H5P_DEFAULT),
                         H5Dclose);
    if (!good || dataset < 0)
      fail("the data set '" + name +
           "' could not be written (is the disk full?)");
    describe(dataset, description);
  }



  void
  HDF5File::write_strings(const std::string              &name,
                          const std::vector<std::string> &values,
                          const std::string              &description)
  {
    const Handle      type(string_type(values), H5Tclose);
    const std::size_t length = H5Tget_size(type);
    std::string       data(length * values.size(), '\0');
    for (std::size_t i = 0; i < values.size(); ++i)
      std::copy(values[i].begin(), values[i].end(), data.begin() + i * length);
    const hsize_t n = values.size();
    const Handle  space(H5Screate_simple(1, &n, nullptr), H5Sclose);
    const Handle  dataset(
      H5Dcreate2(
        file, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
      H5Dclose);
    if (dataset < 0 ||
        (n > 0 &&
         H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, transfer_list, data.data()) <
           0))
      fail("the data set '" + name +
           "' could not be written (is the disk full?)");
    describe(dataset, description);
  }



  void
  HDF5File::write_attribute(const std::string &name, const std::string &value)
  {
    const Handle type(string_type({value}), H5Tclose);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(
      H5Acreate2(file, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
    const std::string padded = value.empty() ? std::string(1, '\0') : value;
    if (attribute < 0 || H5Awrite(attribute, type, padded.data()) < 0)
      fail("it could not be written (is the disk full?)");
  }



  bool
  HDF5File::has_attribute(const std::string &name) const
  {
    return H5Aexists(file, name.c_str()) > 0;
  }



  void
  HDF5File::write_annotation(const std::string              &dataset_name,
                             const std::string              &name,
                             const std::vector<std::string> &values)
  {
    if (values.empty())
      return;
    const Handle      dataset(open_dataset(dataset_name), H5Dclose);
    const Handle      type(string_type(values), H5Tclose);
    const std::size_t length = H5Tget_size(type);
    std::string       data(length * values.size(), '\0');
    for (std::size_t i = 0; i < values.size(); ++i)
      std::copy(values[i].begin(), values[i].end(), data.begin() + i * length);
    const hsize_t n = values.size();
    const Handle  space(H5Screate_simple(1, &n, nullptr), H5Sclose);
    const Handle  attribute(
      H5Acreate2(dataset, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
    if (attribute < 0 || H5Awrite(attribute, type, data.data()) < 0)
      fail("it could not be written (is the disk full?)");
  }



  std::vector<std::string>
  HDF5File::read_annotation(const std::string &dataset_name,
                            const std::string &name) const
  {
    const Handle dataset(open_dataset(dataset_name), H5Dclose);
    if (H5Aexists(dataset, name.c_str()) <= 0)
      return {};
    const Handle   attribute(H5Aopen(dataset, name.c_str(), H5P_DEFAULT),
                           H5Aclose);
    const Handle   type(H5Aget_type(attribute), H5Tclose);
    const Handle   space(H5Aget_space(attribute), H5Sclose);
    const hssize_t n      = H5Sget_simple_extent_npoints(space);
    const hsize_t  length = H5Tget_size(type);
    // An attribute has at most 64 KiB; what claims more is damaged.
    if (n < 0 || length == 0 || hsize_t(n) > (hsize_t(1) << 16) / length ||
        H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0)
      fail("the attribute '" + name + "' of '" + dataset_name +
           "' cannot be read");
    std::string data(length * n, '\0');
    if (H5Aread(attribute, type, data.data()) < 0)
      fail("the attribute '" + name + "' of '" + dataset_name +
           "' cannot be read");
    std::vector<std::string> values;
    for (hssize_t i = 0; i < n; ++i)
      {
        const std::string value = data.substr(i * length, length);
        values.push_back(value.substr(0, value.find('\0')));
      }
    return values;
  }



  void
  HDF5File::link(const std::string &name, const std::string &other_file)
  {
    if (H5Lcreate_external(other_file.c_str(),
                           "/",
                           file,
                           name.c_str(),
                           H5P_DEFAULT,
                           H5P_DEFAULT) < 0)
      fail("it could not be written (is the disk full?)");
  }



  template std::vector<double>
  HDF5File::read(const std::string &) const;
  template std::vector<std::int64_t>
  HDF5File::read(const std::string &) const;
  template void
  HDF5File::write(const std::string &,
                  const std::vector<hsize_t> &,
                  const double *,
                  const hsize_t,
                  const hsize_t,
                  const std::string &);
  template void
  HDF5File::write(const std::string &,
                  const std::vector<hsize_t> &,
                  const std::int64_t *,
                  const hsize_t,
                  const hsize_t,
                  const std::string &);
  template void
  HDF5File::write(const std::string &,
                  const std::vector<double> &,
                  const std::string &);
  template void
  HDF5File::write(const std::string &,
                  const std::vector<std::int64_t> &,
                  const std::string &);
} // namespace neuraldeal
