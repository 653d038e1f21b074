// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the event stream of an SGLang server, in steps whose size the first byte
// chooses. Every step size gives the same events.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "attempt.h"
#include "llava/serve/client/event_splitter.h"
#include "llava/serve/sglang/generate_event.h"

namespace {

std::vector<std::string> read_events(std::string_view bytes, std::size_t step) {
  std::vector<std::string> found;
  llava::serve::EventSplitter splitter(4096);
  attempt([&] {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
      splitter.push(bytes.substr(0, step), [&](std::string_view data) {
        found.emplace_back(data);
        attempt([&] { llava::serve::read_generate_event(data); });
      });
    }
  });
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (read_events(bytes, data[0] % 61 + 1) != read_events(bytes, bytes.size() + 1)) std::abort();
  return 0;
}
