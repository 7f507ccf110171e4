# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# neuraldeal_setup_library(TARGET [ROOM])
#
# For a shared library (MODULE or SHARED) with solvers, surrogates, … of the
# user's own, which a program loads because its parameter file names it. It is
# compiled as what is linked with neuraldeal::ROOM, the plugin room by default;
# neuraldeal-train loads those of the surrogates room. It is linked with nothing:
# all it needs is in the program that loads it, and a second copy of this
# project would bring registries of its own.
function(neuraldeal_setup_library target)
  set(room plugin ${ARGN})
  list(GET room -1 room)
  set(room neuraldeal::${room})
  if(NOT TARGET ${room})
    message(FATAL_ERROR "neuraldeal_setup_library: there is no target ${room}.")
  endif()
  target_include_directories(${target} SYSTEM PRIVATE
    $<TARGET_PROPERTY:${room},INTERFACE_INCLUDE_DIRECTORIES>
    $<TARGET_PROPERTY:${room},INTERFACE_SYSTEM_INCLUDE_DIRECTORIES>)
  target_compile_definitions(${target} PRIVATE
    $<TARGET_PROPERTY:${room},INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(${target} PRIVATE
    $<TARGET_PROPERTY:${room},INTERFACE_COMPILE_OPTIONS>)
  target_compile_features(${target} PRIVATE cxx_std_17)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()
