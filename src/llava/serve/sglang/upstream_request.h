// SPDX-License-Identifier: Apache-2.0
//
// What the original's SGLang worker asks of the server behind it: /generate, for a request of the
// worker protocol.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/serve/legacy/worker_request.h"

namespace llava::serve {

/// The prompt as an SGLang server takes it. The original cuts prompts at `<image>`, with the space
/// and newline around it, and puts the placeholder of the model's own template there. Models for
/// which no other placeholder is known keep what the client wrote, which the original mangles.
/// Source: LLaVA 1.2.2 `llava/serve/sglang_worker.py`.
std::string sglang_prompt(std::string_view prompt, std::string_view model_name);

/// Base64 PNG files of a request's pictures: on white, turned as their Exif orientation says.
///
/// Takes a while.   Throws: ApiError 400 for other numbers of pictures and `<image>`, and for what
/// is no picture.   Threads: safe.
std::vector<std::string> png_images_of(const WorkerRequest& request);

/// The body of /generate, streamed; `images` in the place of the request's.
std::string generate_body(const WorkerRequest& request, std::vector<std::string> images,
                          std::string_view model_name, int32_t max_new_tokens);

}  // namespace llava::serve
