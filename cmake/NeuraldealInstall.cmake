# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# Installs the libraries, their headers, the commands of the surrogates room
# and the package `neuraldeal`, by which a client's find_package() has the
# targets neuraldeal::surrogates, neuraldeal::coupling and neuraldeal::plugin.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/neuraldeal")

# Every library whose name is neuraldeal_ROOM is neuraldeal::ROOM to a client.
# neuraldeal_petsc is a module: loaded by PETSc, linked by nobody.
get_property(libraries GLOBAL PROPERTY NEURALDEAL_LIBRARIES)
foreach(library IN LISTS libraries)
  string(REGEX REPLACE "^neuraldeal_" "" name ${library})
  set_property(TARGET ${library} PROPERTY EXPORT_NAME ${name})
endforeach()
install(TARGETS ${libraries} EXPORT neuraldealTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
get_property(programs GLOBAL PROPERTY NEURALDEAL_PROGRAMS)
install(TARGETS ${programs} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(EXPORT neuraldealTargets
  NAMESPACE neuraldeal:: DESTINATION "${package_dir}")

set(rooms surrogates)
if(NOT NEURALDEAL_SURROGATES_ONLY)
  list(APPEND rooms coupling plugin)
endif()
foreach(room IN LISTS rooms)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${room}/"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/neuraldeal/${room}"
    FILES_MATCHING PATTERN "*.h" PATTERN programs EXCLUDE)
endforeach()

list(JOIN rooms ", " rooms_text)
list(JOIN rooms "|" rooms_pattern)
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/neuraldealConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/neuraldealConfig.cmake"
  INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before version 1.0, a minor version may change an interface.
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/neuraldealConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/neuraldealConfig.cmake"
  "${PROJECT_BINARY_DIR}/neuraldealConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/NeuraldealDependencies.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/NeuraldealLibrary.cmake"
  DESTINATION "${package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE.md"
  DESTINATION "${CMAKE_INSTALL_DOCDIR}")
