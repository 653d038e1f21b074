// SPDX-License-Identifier: Apache-2.0
//
// Grammars and regular expressions from a request: the first byte chooses the notation, and what
// stands behind a zero byte is a text to try.
#include <cstdint>
#include <memory>
#include <string_view>

#include "attempt.h"
#include "llava/text/grammar/configuration_table.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/regular_expression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::text::grammar;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view source = input.substr(0, input.find('\0'));
  const std::string_view text =
      source.size() < input.size() ? input.substr(source.size() + 1) : std::string_view();
  attempt([&] {
    Syntax syntax;
    if (data[0] % 3 == 0) {
      syntax = parse_gbnf(source);
    } else {
      const RegexScope scope = data[0] % 3 == 1 ? RegexScope::kWhole : RegexScope::kAnyPart;
      syntax.root = syntax.add("root", parse_regex(source, scope));
    }
    ConfigurationTable table(std::make_shared<const Automaton>(syntax, ByteSet().set()));
    uint32_t configuration = table.start();
    for (const char byte : text.substr(0, 200)) {
      configuration = table.next(configuration, static_cast<uint8_t>(byte));
    }
  });
  return 0;
}
