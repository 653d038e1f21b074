// SPDX-License-Identifier: Apache-2.0
//
// A JSON schema from a request: whatever texts its grammar has are JSON. They are made by taking at
// each byte the first possible one from a place that the input chooses.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "attempt.h"
#include "llava/core/json.h"
#include "llava/text/grammar/configuration_table.h"
#include "llava/text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::text::grammar;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    ConfigurationTable table(std::make_shared<const Automaton>(
        parse_json_schema(source, size % 2 == 0), ByteSet().set()));
    uint32_t configuration = table.start();
    std::string text;
    uint32_t place = static_cast<uint32_t>(size);
    for (int step = 0; step < 300 && !table.can_end(configuration); ++step) {
      table.begin_work();
      place = place * 1664525u + 1013904223u + data[static_cast<size_t>(step) % size];
      uint32_t next = ConfigurationTable::kDead;
      for (unsigned i = 0; i < 256 && next == ConfigurationTable::kDead; ++i) {
        const auto byte = static_cast<uint8_t>((place >> 24) + i);
        next = table.next(configuration, byte);
        if (next != ConfigurationTable::kDead) text += static_cast<char>(byte);
      }
      if (next == ConfigurationTable::kDead) std::abort();  // a dead end
      configuration = next;
    }
    if (table.can_end(configuration) && !llava::Json::accept(text)) std::abort();
  });
  return 0;
}
