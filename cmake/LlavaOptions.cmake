# SPDX-License-Identifier: Apache-2.0
# Compile options shared by every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET default)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(LLAVA_CCACHE ccache)
if(LLAVA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the checkout are hashed relative to it: another clone finds the same objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
    "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${LLAVA_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

add_library(llava_options INTERFACE)
add_library(llava::options ALIAS llava_options)
target_include_directories(llava_options INTERFACE
  $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
target_compile_features(llava_options INTERFACE cxx_std_20)
# Contraction changes the rounding of a*b+c; pixels and geometry must be exact (docs/architecture.md),
# and kernels say fma where they mean it.
set(llava_private_options -ffp-contract=off -fno-math-errno)
set(llava_warnings -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
  -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers)
if(LLAVA_WERROR)
  list(APPEND llava_warnings -Werror)
endif()

if(LLAVA_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(LLAVA_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(LLAVA_SANITIZE)
  message(FATAL_ERROR "LLAVA_SANITIZE is '${LLAVA_SANITIZE}', expected 'address', 'thread' or empty")
endif()

# Coverage feedback in the libraries; the fuzz programs add the driver themselves.
if(LLAVA_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
