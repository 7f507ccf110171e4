# neural.deal: neural operators beside the solvers of deal.II
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later

# What all targets of this project share.

include(CheckCXXCompilerFlag)

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers go with ccache if it looks away from their time stamps.
  # It need not run the preprocessor where the compiler says what was included.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${CCACHE_PROGRAM})
endif()

# The rooms are folders of headers and sources; their headers are included as
# <neuraldeal/ROOM/header.h>, here through links and later where they are
# installed.
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/include/neuraldeal")
foreach(room surrogates coupling plugin)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${room}"
    "${PROJECT_BINARY_DIR}/include/neuraldeal/${room}" SYMBOLIC)
endforeach()

# Asked about the warning itself: of -Wno-… every name passes. GCC 13 and 14
# take every accessor by name for one that refers to it.
check_cxx_compiler_flag(-Wdangling-reference NEURALDEAL_WARNS_OF_DANGLING)
function(neuraldeal_warnings target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -fpch-preprocess>)
  if(NEURALDEAL_WARNS_OF_DANGLING)
    target_compile_options(${target} PRIVATE
      $<$<COMPILE_LANGUAGE:CXX>:-Wno-dangling-reference>)
  endif()
  if(NEURALDEAL_SANITIZERS)
    target_compile_options(${target} PRIVATE
      -fsanitize=address,undefined -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# A library of a room: includes, warnings, install.
function(neuraldeal_configure_library target)
  neuraldeal_warnings(${target})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:include>)
  set_property(GLOBAL APPEND PROPERTY NEURALDEAL_LIBRARIES ${target})
endfunction()

# neuraldeal_reuse_headers(TARGET [LIBRARY])
#
# Use the precompiled header of a library in another target, which has to be
# compiled with the same options: that of the coupling room in one with deal.II,
# that of the surrogates room in one without it. An executable is compiled like
# the library then, as code that may move.
function(neuraldeal_reuse_headers target)
  set(library neuraldeal_coupling ${ARGN})
  list(GET library -1 library)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM ${library})
endfunction()
