// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/output_format.h"

#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/json_schema.h"
#include "llava/text/grammar/regular_expression.h"

namespace llava::text::grammar {
namespace {

Expression one_of_choices(const std::vector<std::string>& choices) {
  std::size_t num_bytes = 0;
  std::vector<Expression> ways;
  for (const std::string& text : choices) {
    num_bytes += text.size();
    ways.push_back(bytes(text));
  }
  if (choices.empty() || num_bytes > kMaxGrammarBytes) {
    fail(ErrorCode::kInvalidArgument,
         "{} choices of {} bytes in all, expected at least one and at most {} bytes",
         choices.size(), num_bytes, kMaxGrammarBytes);
  }
  return choice(std::move(ways));
}

Syntax single_rule(std::string name, Expression expression) {
  Syntax syntax;
  syntax.root = syntax.add(std::move(name), std::move(expression));
  return syntax;
}

}  // namespace

Syntax syntax_of(const OutputFormat& format) {
  switch (format.kind) {
    case OutputFormat::Kind::kJsonObject:
      return json_object_syntax();
    case OutputFormat::Kind::kJsonSchema:
      return parse_json_schema(format.text, format.is_strict);
    case OutputFormat::Kind::kRegex:
      return single_rule("regular expression", parse_regex(format.text, RegexScope::kWhole));
    case OutputFormat::Kind::kGbnf:
      return parse_gbnf(format.text);
    case OutputFormat::Kind::kChoice:
      return single_rule("choice", one_of_choices(format.choices));
  }
  LLAVA_CHECK(false);
}

}  // namespace llava::text::grammar
