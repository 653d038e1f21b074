// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/json_text.h"

#include <algorithm>
#include <utility>

#include "llava/text/utf8.h"

namespace llava::text::grammar {
namespace {

using Ranges = std::vector<CharRange>;

const Ranges kDigit{{'0', '9'}};
const Ranges kHexDigit{{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

/// What a string may hold as it is.
Ranges plain_chars() { return complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}); }

Ranges intersection(const Ranges& a, const Ranges& b) {
  Ranges result;
  for (const CharRange& x : a) {
    for (const CharRange& y : b) {
      const CharRange both{std::max(x.first, y.first), std::min(x.last, y.last)};
      if (both.first <= both.last) result.push_back(both);
    }
  }
  return result;
}

bool contains(const Ranges& ranges, char32_t code_point) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const CharRange& range) {
    return range.first <= code_point && code_point <= range.last;
  });
}

Expression digits(int32_t min, std::optional<int32_t> max) {
  return repeat(one_of(kDigit), min, max);
}

/// Four digits after \u that are one character.
Expression whole_character() {
  const Expression hex = one_of(kHexDigit);
  return choice({sequence({one_of({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}}),
                           hex, hex, hex}),
                 sequence({one_of({{'D', 'D'}, {'d', 'd'}}), one_of({{'0', '7'}}), hex, hex})});
}

/// Two times four digits: a pair of surrogates.
Expression surrogate_pair() {
  const Expression hex = one_of(kHexDigit);
  const Expression d = one_of({{'D', 'D'}, {'d', 'd'}});
  return sequence({d, one_of({{'8', '9'}, {'A', 'B'}, {'a', 'b'}}), hex, hex, bytes("\\u"), d,
                   one_of({{'C', 'F'}, {'c', 'f'}}), hex, hex});
}

/// How characters that cannot stand for themselves are written: one way for each.
Expression escaped(const Ranges& ranges) {
  static constexpr std::pair<char32_t, const char*> kShort[] = {
      {'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"},
      {'\n', "\\n"}, {'\r', "\\r"},  {'\t', "\\t"}};
  std::vector<Expression> forms;
  Ranges others = intersection(ranges, {{0, 0x1F}});
  for (const auto& [code_point, form] : kShort) {
    if (contains(ranges, code_point)) forms.push_back(bytes(form));
    others = intersection(others, complement({{code_point, code_point}}));
  }
  for (const char32_t high : {U'0', U'1'}) {
    Ranges low;  // as hexadecimal digits
    for (char32_t digit = 0; digit < 16; ++digit) {
      if (!contains(others, 16 * (high - U'0') + digit)) continue;
      const char32_t c = digit < 10 ? U'0' + digit : U'a' + digit - 10;
      low.push_back({c, c});
    }
    if (low.empty()) continue;
    forms.push_back(sequence({bytes(high == U'0' ? "\\u000" : "\\u001"), one_of(std::move(low))}));
  }
  return choice(std::move(forms));
}

}  // namespace

template <class Make>
Expression JsonText::rule(const std::string& name, Make&& make) {
  const auto [found, is_new] = rules_.try_emplace(name, 0);
  if (!is_new) return call(found->second);
  const int32_t number = syntax_.add(name);
  found->second = number;
  Expression content = make();
  syntax_.rules[static_cast<std::size_t>(number)].expression = std::move(content);
  return call(number);
}

Expression JsonText::blanks() {
  return rule("JSON blanks", [] {
    return repeat(one_of({{' ', ' '}, {'\t', '\n'}, {'\r', '\r'}}), 0, kMaxJsonBlanks);
  });
}

Expression JsonText::any_char() {
  return rule("JSON character", [] {
    return choice({one_of(plain_chars()),
                   sequence({bytes("\\"), one_of({{'"', '"'},
                                                  {'/', '/'},
                                                  {'\\', '\\'},
                                                  {'b', 'b'},
                                                  {'f', 'f'},
                                                  {'n', 'n'},
                                                  {'r', 'r'},
                                                  {'t', 't'}})}),
                   sequence({bytes("\\u"), choice({whole_character(), surrogate_pair()})})});
  });
}

Expression JsonText::chars(const Ranges& ranges) {
  const Ranges plain = intersection(ranges, plain_chars());
  const Ranges special = intersection(ranges, {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  if (special.empty()) return one_of(plain);
  // Long alternatives that many patterns share.
  std::string name = "JSON characters";
  for (const CharRange& range : ranges) {
    name += ' ' + std::to_string(static_cast<uint32_t>(range.first)) + '-' +
            std::to_string(static_cast<uint32_t>(range.last));
  }
  return rule(name, [&] { return choice({one_of(plain), escaped(special)}); });
}

Expression JsonText::string(int32_t min, std::optional<int32_t> max) {
  return sequence({bytes("\""), repeat(any_char(), min, max), bytes("\"")});
}

// A rule for each beginning that some of the strings share. Behind it may come the end, unless it
// is one of the strings; a character that goes on towards one of them; or any other, and then
// anything.
Expression JsonText::other_than(const std::vector<std::string>& strings) {
  struct Node {
    int32_t rule = 0;
    bool is_string = false;
    std::map<char32_t, std::size_t> children;
  };
  std::vector<Node> nodes;
  const auto add_node = [&] {
    nodes.push_back({.rule = syntax_.add("other keys")});
    return nodes.size() - 1;
  };
  add_node();
  for (const std::string& string : strings) {
    std::size_t node = 0;
    for (std::size_t at = 0; at < string.size();) {
      const Utf8Char next = decode_utf8(string, at);
      at += next.num_bytes;
      const auto found = nodes[node].children.find(next.code_point);
      if (found != nodes[node].children.end()) {
        node = found->second;
        continue;
      }
      const std::size_t child = add_node();
      nodes[node].children.emplace(next.code_point, child);
      node = child;
    }
    nodes[node].is_string = true;
  }
  const Expression rest = repeat(any_char(), 0, std::nullopt);
  for (const Node& node : nodes) {
    Ranges taken;
    std::vector<Expression> ways;
    for (const auto& [code_point, child] : node.children) {
      taken.push_back({code_point, code_point});
      ways.push_back(sequence({chars({{code_point, code_point}}), call(nodes[child].rule)}));
    }
    ways.push_back(sequence({chars(complement(std::move(taken))), rest}));
    if (!node.is_string) ways.push_back(sequence({}));
    syntax_.rules[static_cast<std::size_t>(node.rule)].expression = choice(std::move(ways));
  }
  return call(nodes.front().rule);
}

Expression JsonText::integer() {
  return rule("JSON integer", [] {
    return choice(
        {bytes("0"), sequence({optional(bytes("-")), one_of({{'1', '9'}}), digits(0, 17)})});
  });
}

Expression JsonText::number() {
  return rule("JSON number", [] {
    return sequence(
        {optional(bytes("-")),
         choice({bytes("0"), sequence({one_of({{'1', '9'}}), digits(0, 17)})}),
         optional(sequence({bytes("."), digits(1, 15)})),
         optional(sequence({one_of({{'E', 'E'}, {'e', 'e'}}),
                            optional(one_of({{'+', '+'}, {'-', '-'}})), digits(1, 2)}))});
  });
}

Expression JsonText::value() {
  return rule("JSON value", [&] {
    return choice({object(), array(), string(0, std::nullopt), number(), bytes("true"),
                   bytes("false"), bytes("null")});
  });
}

Expression JsonText::array() {
  return rule("JSON list", [&] { return list_of(value(), 0, std::nullopt); });
}

Expression JsonText::object() {
  return rule("JSON object",
              [&] { return object_of(member(repeat(any_char(), 0, std::nullopt), value())); });
}

Expression JsonText::list_of(Expression item, int32_t min, std::optional<int32_t> max) {
  const Expression end = bytes("]");
  if (max && *max == 0) return sequence({bytes("["), blanks(), end});
  const Expression next = sequence({blanks(), bytes(","), blanks(), item});
  const std::optional<int32_t> more = max ? std::optional(*max - 1) : std::nullopt;
  Expression items =
      sequence({std::move(item), repeat(next, std::max(0, min - 1), more), blanks(), end});
  if (min == 0) items = choice({end, std::move(items)});
  return sequence({bytes("["), blanks(), std::move(items)});
}

Expression JsonText::member(Expression key, Expression value) {
  return sequence(
      {bytes("\""), std::move(key), bytes("\""), blanks(), bytes(":"), blanks(), std::move(value)});
}

Expression JsonText::object_of(Expression member) {
  const Expression end = bytes("}");
  const Expression next = sequence({blanks(), bytes(","), blanks(), member});
  return sequence(
      {bytes("{"), blanks(),
       choice({end, sequence({std::move(member), repeat(next, 0, std::nullopt), blanks(), end})})});
}

}  // namespace llava::text::grammar
