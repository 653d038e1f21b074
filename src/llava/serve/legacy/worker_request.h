// SPDX-License-Identifier: Apache-2.0
//
// The request of the original's worker: a finished prompt, pictures as base64, a few settings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

struct WorkerRequest {
  std::string prompt;  ///< with `<image>` where pictures go
  std::vector<std::string> images;
  double temperature = 1.0;
  double top_p = 1.0;
  int32_t max_new_tokens = 256;
  std::vector<std::string> stop;
  /// Wants `finish_reason` and `usage` in the last record.
  bool is_extended = false;
};

/// Reads a body as leniently as the original does: numbers may be texts, what is not known is
/// ignored.
///
/// Throws: ApiError 400 for what is no JSON object and when there is no prompt.
/// Source: LLaVA 1.2.2 `llava/serve/model_worker.py`, generate_stream.
WorkerRequest read_worker_request(std::string_view body);

/// How many `<image>` a prompt has.
int64_t count_image_places(std::string_view prompt);

}  // namespace llava::serve
