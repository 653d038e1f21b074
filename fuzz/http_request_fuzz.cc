// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as HTTP requests one after the other, as a connection does: head, then body, in
// steps whose size the first byte chooses. Every step size gives the same requests.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/serve/http/request_body.h"
#include "llava/serve/http/request_head.h"

namespace {

using llava::serve::HeadError;
using llava::serve::RequestBody;
using llava::serve::RequestHead;

constexpr uint64_t kMaxBodyBytes = 4096;

/// What came out: methods, paths and bodies, or where it ended.
std::vector<std::string> read_requests(std::string_view bytes, std::size_t step) {
  std::vector<std::string> found;
  std::string in;
  std::size_t at = 0;
  const auto receive = [&] {
    if (at >= bytes.size()) return false;
    in += bytes.substr(at, step);
    at += step;
    return true;
  };
  for (;;) {
    std::optional<std::size_t> head_size;
    while (!(head_size = llava::serve::find_end_of_head(in))) {
      if (!receive()) return found;
    }
    const std::string head_bytes = in.substr(0, *head_size);
    in.erase(0, *head_size);
    auto parsed = llava::serve::parse_request_head(head_bytes);
    if (const auto* error = std::get_if<HeadError>(&parsed)) {
      found.push_back(std::to_string(error->status));
      return found;
    }
    const auto& head = std::get<RequestHead>(parsed);
    RequestBody body(head, head_bytes, kMaxBodyBytes);
    for (;;) {
      while (const std::size_t count = body.consume(in)) in.erase(0, count);
      if (body.is_done() || body.error()) break;
      if (!receive()) return found;
    }
    if (body.error()) {
      found.push_back("refused body");
      return found;
    }
    std::string text = body.take();
    if (text.size() > kMaxBodyBytes) std::abort();
    found.push_back(head.request.method + " " + head.request.path + " " + std::move(text));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (read_requests(bytes, data[0] % 61 + 1) != read_requests(bytes, bytes.size() + 1))
    std::abort();
  return 0;
}
