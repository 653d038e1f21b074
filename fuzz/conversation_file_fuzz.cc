// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as a training file, every sample of it.
#include <cstdint>
#include <string>

#include "attempt.h"
#include "llava/data/conversation_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    using llava::data::ConversationFile;
    const auto file =
        ConversationFile::from_text(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
    for (int64_t i = 0; i < file.size(); ++i) {
      attempt([&] {
        const llava::data::Record record = file.record(i);
        if (record.conversations.empty()) __builtin_trap();
        llava::data::count_words(record);
      });
    }
  });
  return 0;
}
