// SPDX-License-Identifier: Apache-2.0
//
// Whether a text fits a grammar, byte by byte, with no vocabulary.
#pragma once

#include <memory>
#include <string_view>

#include "llava/text/grammar/configuration_table.h"

namespace llava::text::grammar {

/// A grammar and its table, to try several texts.
class Acceptor {
 public:
  explicit Acceptor(const Syntax& syntax)
      : table_(std::make_shared<const Automaton>(syntax, ByteSet().set())) {}

  bool accepts(std::string_view text) {
    const uint32_t end = after(text);
    return end != ConfigurationTable::kDead && table_.can_end(end);
  }
  /// True if some text of the grammar begins so.
  bool accepts_beginning(std::string_view text) { return after(text) != ConfigurationTable::kDead; }

 private:
  uint32_t after(std::string_view text) {
    table_.begin_work();
    uint32_t configuration = table_.start();
    for (const char byte : text) {
      configuration = table_.next(configuration, static_cast<uint8_t>(byte));
    }
    return configuration;
  }

  ConfigurationTable table_;
};

}  // namespace llava::text::grammar
