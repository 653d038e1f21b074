// SPDX-License-Identifier: Apache-2.0
//
// The files of the web page, inside the program. cmake/LlavaWeb.cmake makes the source file.
#pragma once

#include <span>
#include <string_view>

namespace llava::serve {

/// One file of the built page.
struct WebAsset {
  std::string_view path;  ///< "index.html", "assets/index-5Bq2.js"
  std::string_view content_type;
  std::string_view digest;  ///< SHA-256 in hexadecimal
  std::string_view bytes;
};

/// All files, by path; none in a program that was built without the page.   Threads: safe.
std::span<const WebAsset> web_assets();

}  // namespace llava::serve
