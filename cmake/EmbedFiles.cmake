# SPDX-License-Identifier: Apache-2.0
# cmake -Doutput=FILE -Dfolder=FOLDER -Dfiles=LIST -P EmbedFiles.cmake
#   Writes the source file of src/llava/serve/web/web_assets.h: the bytes of the files, each under its
#   path below the folder.
set(type_of_html "text/html; charset=utf-8")
set(type_of_js "text/javascript; charset=utf-8")
set(type_of_txt "text/plain; charset=utf-8")
set(type_of_css "text/css; charset=utf-8")

set(arrays "")
set(rows "")
set(number 0)
foreach(file IN LISTS files)
  cmake_path(RELATIVE_PATH file BASE_DIRECTORY "${folder}" OUTPUT_VARIABLE path)
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  string(SUBSTRING "${extension}" 1 -1 extension)
  if(NOT DEFINED "type_of_${extension}")
    message(FATAL_ERROR "'${path}' is of no type that is known here: add '${extension}' to cmake/EmbedFiles.cmake")
  endif()
  file(SHA256 "${file}" digest)
  file(READ "${file}" bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${path}\", \"${type_of_${extension}}\",\n     \"${digest}\",\n     bytes_of(kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()

set(source "// Made by cmake/EmbedFiles.cmake.\n#include \"llava/serve/web/web_assets.h\"\n\nnamespace llava::serve {\n")
if(number GREATER 0)
  string(APPEND source "namespace {\n
template <std::size_t N>
std::string_view bytes_of(const unsigned char (&bytes)[N]) {
  return {reinterpret_cast<const char*>(bytes), N};
}

${arrays}
}  // namespace

std::span<const WebAsset> web_assets() {
  static const WebAsset kAssets[] = {
${rows}  };
  return kAssets;
}\n")
else()
  string(APPEND source "\nstd::span<const WebAsset> web_assets() { return {}; }\n")
endif()
file(WRITE "${output}" "${source}\n}  // namespace llava::serve\n")
