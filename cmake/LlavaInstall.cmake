# SPDX-License-Identifier: Apache-2.0
# Install rules, the exported CMake package and the packages that cpack makes. Components:
#   program      the program with the bundled default model
#   libraries    the shared libraries that the program needs, beside it; only for cpack, whose packages
#                must run where nothing but the C and C++ libraries is installed (docs/adr/0002)
#   development  static libraries, headers and the CMake package; of builds without LibTorch
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(llava_models_dir "${CMAKE_INSTALL_DATADIR}/llava/models")

# --- program ------------------------------------------------------------------------------------------
# The old form of the run path also serves what the private libraries themselves need. $ORIGIN needs a
# mounted /proc, which a bare chroot has not; the second folder is where the .deb puts them.
set_target_properties(llava_program PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/llava;/usr/lib/llava")
target_link_options(llava_program PRIVATE LINKER:--disable-new-dtags)
install(TARGETS llava_program RUNTIME_DEPENDENCY_SET llava_private_libraries
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
if(LLAVA_TORCH)
  # LibTorch stays where the build found it.
  get_filename_component(libtorch_folder "${llava_libtorch_cpu}" DIRECTORY)
  set_target_properties(llava_torch_program PROPERTIES INSTALL_RPATH "${libtorch_folder}")
  install(TARGETS llava_torch_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/models/tiny-llava-smollm2" DESTINATION "${llava_models_dir}" COMPONENT program
  PATTERN check EXCLUDE)
# A program in the build tree finds its models where an installed one does.
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/share/llava")
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/models" "${CMAKE_BINARY_DIR}/share/llava/models" SYMBOLIC)
install(PROGRAMS "${PROJECT_SOURCE_DIR}/scripts/fetch_model" DESTINATION "${CMAKE_INSTALL_DATADIR}/llava" COMPONENT program)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/CHANGELOG.md"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/llava" COMPONENT program)

# --- libraries --------------------------------------------------------------------------------------------
if(NOT LLAVA_TORCH)
  install(RUNTIME_DEPENDENCY_SET llava_private_libraries
    PRE_EXCLUDE_REGEXES "^(libc|libm|libdl|librt|libpthread|libresolv|libstdc\\+\\+|libgcc_s|ld-linux.*)\\.so"
    LIBRARY DESTINATION lib/llava COMPONENT libraries EXCLUDE_FROM_ALL)
  # The licences of what is copied, as the system's packages state them.
  install(CODE [[
    set(root "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
    file(GLOB libraries RELATIVE "${root}/lib/llava" "${root}/lib/llava/*.so*")
    foreach(library ${libraries})
      execute_process(COMMAND dpkg-query -S "*/${library}" OUTPUT_VARIABLE owners ERROR_QUIET)
      string(REGEX MATCH "^[a-z0-9.+-]+" package "${owners}")
      if(package AND EXISTS "/usr/share/doc/${package}/copyright")
        file(COPY_FILE "/usr/share/doc/${package}/copyright" "${root}/lib/llava/${package}.copyright")
      else()
        message(WARNING "No statement of the licence of ${library} was found; a package with it is not for distribution")
      endif()
    endforeach()
  ]] COMPONENT libraries EXCLUDE_FROM_ALL)
endif()

# --- development ----------------------------------------------------------------------------------------------
if(NOT LLAVA_TORCH)
  get_property(libraries GLOBAL PROPERTY LLAVA_LIBRARIES)
  set_target_properties(llava_options PROPERTIES EXPORT_NAME options)
  install(TARGETS llava_options ${libraries} EXPORT llava
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
  set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/llava")
  install(EXPORT llava NAMESPACE llava:: FILE llavaTargets.cmake DESTINATION "${package_dir}" COMPONENT development)
  configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/llavaConfig.cmake.in" "${CMAKE_BINARY_DIR}/llavaConfig.cmake"
    INSTALL_DESTINATION "${package_dir}" PATH_VARS llava_models_dir)
  write_basic_package_version_file("${CMAKE_BINARY_DIR}/llavaConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${CMAKE_BINARY_DIR}/llavaConfig.cmake" "${CMAKE_BINARY_DIR}/llavaConfigVersion.cmake"
    DESTINATION "${package_dir}" COMPONENT development)
endif()

# --- packages: cpack --preset release -------------------------------------------------------------------------
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/packages")
set(CPACK_COMPONENTS_ALL program libraries)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_SOURCE_DIR}/cmake/LlavaPackage.cmake")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME llava)
set(CPACK_PACKAGE_VENDOR "llava developers")
set(CPACK_PACKAGE_CONTACT "llava developers <developers@llava.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
string(TOLOWER "${PROJECT_NAME}-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}" CPACK_PACKAGE_FILE_NAME)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Needs what is at least as new as what it was built with; all else is inside.
execute_process(COMMAND getconf GNU_LIBC_VERSION OUTPUT_VARIABLE libc_version ERROR_QUIET)
string(REGEX MATCH "[0-9]+\\.[0-9]+" libc_version "${libc_version}")
string(REGEX MATCH "^[0-9]+" compiler_version "${CMAKE_CXX_COMPILER_VERSION}")
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= ${libc_version}), libstdc++6, libgcc-s1")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6 (>= ${libc_version}), libstdc++6 (>= ${compiler_version}), libgcc-s1")
endif()
include(CPack)
