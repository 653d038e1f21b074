# SPDX-License-Identifier: Apache-2.0
# The web page inside the program: the files that scripts/setup has built from web/ become one source
# file, whose path is llava_web_source. Without the page it is the same with no files in it.
set(llava_web_page "${PROJECT_SOURCE_DIR}/.deps/web/page")
set(llava_web_files)
if(LLAVA_WEB)
  file(GLOB llava_web_files CONFIGURE_DEPENDS "${llava_web_page}/index.html" "${llava_web_page}/assets/*")
  if(NOT llava_web_files)
    set(llava_web_hint "the web page of 'llava serve' is not built: run scripts/setup, or configure with -DLLAVA_WEB=OFF")
    if(NOT LLAVA_WEB STREQUAL "AUTO")
      message(FATAL_ERROR "LLAVA_WEB is ${LLAVA_WEB}, and ${llava_web_hint}")
    endif()
    message(WARNING "${llava_web_hint}")
  endif()
endif()

set(llava_web_source "${CMAKE_CURRENT_BINARY_DIR}/web_assets.cc")
add_custom_command(OUTPUT "${llava_web_source}"
  COMMAND "${CMAKE_COMMAND}" "-Doutput=${llava_web_source}" "-Dfolder=${llava_web_page}" "-Dfiles=${llava_web_files}"
    -P "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake"
  DEPENDS ${llava_web_files} "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake"
  COMMENT "Embedding the web page" VERBATIM)
# Outside the units that clang-tidy reads: it is written by a build, and there is nothing to read in it.
set_source_files_properties("${llava_web_source}" PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
