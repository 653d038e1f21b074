# SPDX-License-Identifier: Apache-2.0
# Finds LibTorch 2.6 or later and defines llava::libtorch. The first of these that names one is used:
#   1. -DLLAVA_TORCH_DIR=<root>: an unpacked LibTorch zip or the `torch` folder of a Python package;
#   2. what find_package(Torch) would use: Torch_DIR, Torch_ROOT, CMAKE_PREFIX_PATH, the system;
#   3. .deps/torch, the private environment that scripts/setup --torch makes;
#   4. the `torch` package of the python3 on the path.
# The libraries are taken by name rather than through TorchConfig.cmake, which demands the CUDA
# toolkit, MKL and protobuf of the machine that built LibTorch.
set(LLAVA_TORCH_DIR "" CACHE PATH "Root of a LibTorch or of a Python torch package; empty searches")
set(LLAVA_TORCH_MINIMUM 2.6)

# Version of the LibTorch at `root`, or empty when there is none.
function(llava_torch_version root result)
  set(version "")
  foreach(folder share/cmake/Torch lib/cmake/Torch "lib/${CMAKE_LIBRARY_ARCHITECTURE}/cmake/Torch")
    set(file "${root}/${folder}/TorchConfigVersion.cmake")
    if(EXISTS "${file}")
      file(STRINGS "${file}" line REGEX "PACKAGE_VERSION \"" LIMIT_COUNT 1)
      string(REGEX MATCH "[0-9]+\\.[0-9]+(\\.[0-9]+)?" version "${line}")
      break()
    endif()
  endforeach()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# Every place to look, in the order above, as <root>|<how it was found>.
function(llava_torch_candidates result)
  set(candidates "")
  if(LLAVA_TORCH_DIR)
    set(${result} "${LLAVA_TORCH_DIR}|LLAVA_TORCH_DIR" PARENT_SCOPE)
    return()
  endif()
  foreach(directory "${Torch_DIR}" "$ENV{Torch_DIR}")
    if(directory)
      get_filename_component(root "${directory}/../../.." ABSOLUTE)
      list(APPEND candidates "${root}|Torch_DIR")
    endif()
  endforeach()
  string(REPLACE ":" ";" environment_prefixes "$ENV{CMAKE_PREFIX_PATH}")
  foreach(prefix ${Torch_ROOT} $ENV{Torch_ROOT} ${CMAKE_PREFIX_PATH} ${environment_prefixes})
    list(APPEND candidates "${prefix}|CMAKE_PREFIX_PATH")
    # The cmake_prefix_path that the Python package reports is its share/cmake.
    get_filename_component(root "${prefix}/../.." ABSOLUTE)
    list(APPEND candidates "${root}|CMAKE_PREFIX_PATH")
  endforeach()
  list(APPEND candidates "/usr|the system's packages" "/usr/local|the system's packages")
  file(GLOB private "${PROJECT_SOURCE_DIR}/.deps/torch/lib/python3*/site-packages/torch")
  foreach(root ${private})
    list(APPEND candidates "${root}|scripts/setup --torch")
  endforeach()
  set(${result} "${candidates}" PARENT_SCOPE)
endfunction()

function(llava_find_torch)
  llava_torch_candidates(candidates)
  set(too_old "")
  foreach(candidate ${candidates} python)
    if(candidate STREQUAL "python")
      if(LLAVA_TORCH_DIR)
        continue()
      endif()
      # Where the package lies, without importing it: that would take seconds.
      execute_process(
        COMMAND python3 -c "import importlib.util, os; s = importlib.util.find_spec('torch'); print(os.path.dirname(s.origin) if s else '')"
        OUTPUT_VARIABLE root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      set(origin "the Python installation")
    else()
      string(REPLACE "|" ";" pair "${candidate}")
      list(GET pair 0 root)
      list(GET pair 1 origin)
    endif()
    if(NOT root)
      continue()
    endif()
    llava_torch_version("${root}" version)
    if(version AND version VERSION_LESS LLAVA_TORCH_MINIMUM)
      list(APPEND too_old "LibTorch ${version} in ${root} (${origin})")
    elseif(version)
      set(llava_torch_root "${root}" PARENT_SCOPE)
      set(llava_torch_version "${version}" PARENT_SCOPE)
      set(llava_torch_origin "${origin}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(advice "Run 'scripts/setup --torch', give -DLLAVA_TORCH_DIR=<root of LibTorch>, or build without it: -DLLAVA_TORCH=OFF.")
  if(too_old)
    list(JOIN too_old ", " too_old)
    message(FATAL_ERROR "Found ${too_old}; LLAVA_TORCH needs ${LLAVA_TORCH_MINIMUM} or later. ${advice}")
  elseif(LLAVA_TORCH_DIR)
    message(FATAL_ERROR "LLAVA_TORCH_DIR is '${LLAVA_TORCH_DIR}', which has no share/cmake/Torch/TorchConfigVersion.cmake: expected the root of LibTorch or a Python 'torch' folder. ${advice}")
  endif()
  message(FATAL_ERROR "LLAVA_TORCH is ON and no LibTorch was found. ${advice}")
endfunction()

# Before 2.7 some builds use the C++ library's old strings, which the system's packages do not.
function(llava_check_torch_abi root)
  file(GLOB_RECURSE config "${root}/share/cmake/Torch/TorchConfig.cmake" "${root}/lib/*/cmake/Torch/TorchConfig.cmake")
  foreach(file ${config})
    file(STRINGS "${file}" old_abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
    if(old_abi)
      message(FATAL_ERROR "LibTorch in ${root} was built with _GLIBCXX_USE_CXX11_ABI=0 and cannot be linked with the system's C++ libraries. "
        "Use the 'cxx11-abi' build of LibTorch, torch 2.7 or later, or 'scripts/setup --torch'.")
    endif()
  endforeach()
endfunction()

llava_find_torch()
llava_check_torch_abi("${llava_torch_root}")

# Processes that train together talk through LibTorch's Gloo, whose headers it does not bring along.
find_path(LLAVA_GLOO_INCLUDE gloo/context.h)
mark_as_advanced(LLAVA_GLOO_INCLUDE)
if(NOT LLAVA_GLOO_INCLUDE)
  message(FATAL_ERROR "LLAVA_TORCH is ON and Gloo's headers are not there: install libgloo-dev (scripts/setup --torch does), give "
    "-DLLAVA_GLOO_INCLUDE=<folder with gloo/context.h>, or build without LibTorch: -DLLAVA_TORCH=OFF.")
endif()

set(llava_torch_folders "${llava_torch_root}/lib" "${llava_torch_root}/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
foreach(name torch torch_cpu c10 torch_cuda c10_cuda)
  unset(llava_lib${name} CACHE)
  find_library(llava_lib${name} ${name} PATHS ${llava_torch_folders} NO_DEFAULT_PATH)
  mark_as_advanced(llava_lib${name})
endforeach()
if(NOT llava_libtorch_cpu OR NOT llava_libc10)
  message(FATAL_ERROR "LibTorch ${llava_torch_version} in ${llava_torch_root} has no libtorch_cpu or libc10 beside it: the installation is incomplete. "
    "Run 'scripts/setup --torch'.")
endif()

add_library(llava_libtorch INTERFACE)
add_library(llava::libtorch ALIAS llava_libtorch)
# After the system's folders: the package carries its own copies of fmt and other libraries that we
# take from the system.
target_compile_options(llava_libtorch INTERFACE "SHELL:-idirafter \"${llava_torch_root}/include\"")
# Keeps LibTorch's own headers from including all operators at once.
target_compile_definitions(llava_libtorch INTERFACE AT_PER_OPERATOR_HEADERS)
# Full paths, so that programs in the build tree get the run path.
target_link_libraries(llava_libtorch INTERFACE "${llava_libtorch_cpu}" "${llava_libc10}")
if(llava_libtorch_cuda AND llava_libc10_cuda)
  # Nothing refers to libtorch_cuda, which registers its kernels when loaded. The libraries below it
  # are found through its own run path.
  target_link_libraries(llava_libtorch INTERFACE "${llava_libc10_cuda}")
  target_link_options(llava_libtorch INTERFACE
    "LINKER:--push-state,--no-as-needed,${llava_libtorch_cuda},--pop-state" "LINKER:--unresolved-symbols=ignore-in-shared-libs")
  set(llava_torch_has_cuda 1)
  set(llava_torch_kind "with CUDA")
else()
  set(llava_torch_has_cuda 0)
  set(llava_torch_kind "without CUDA")
endif()
message(STATUS "LibTorch ${llava_torch_version}, ${llava_torch_kind}: ${llava_torch_root} (${llava_torch_origin})")
