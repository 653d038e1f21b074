// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as what the web page tells of a conversation, and writes the log's line of it.
#include <cstdint>
#include <string_view>

#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/web/conversation_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::serve;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    const auto record = read_conversation_record(parse_body(body), {});
    for (const char* conv_mode : {"", "llava_v1", "v0"}) {
      const RecordOrigin origin{
          .time = 1, .address = {}, .conv_modes = {conv_mode, conv_mode}, .images = {}};
      // One line, whatever was in it.
      if (record_json(log_entry(record, origin)).find('\n') != std::string::npos) __builtin_trap();
    }
  } catch (const ApiError&) {
  }
  return 0;
}
