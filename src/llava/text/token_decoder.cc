// SPDX-License-Identifier: Apache-2.0
#include "llava/text/token_decoder.h"

#include <utility>

#include "llava/text/byte_alphabet.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

using Tokens = std::vector<std::string>;

std::string join(const Tokens& tokens, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += separator;
    text += tokens[i];
  }
  return text;
}

Tokens apply(const TokenDecoder::Replace& step, Tokens tokens) {
  for (std::string& token : tokens) {
    std::string result;
    std::size_t at = 0;
    for (const auto& match : step.pattern.find_all(token)) {
      result.append(token, at, match.begin - at);
      result += step.content;
      at = match.end;
    }
    if (at > 0) token = result.append(token, at);
  }
  return tokens;
}

/// The byte of "<0x..>", in either case of the digits as the library reads them, or -1.
int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    if (c >= '0' && c <= '9') {
      byte = 16 * byte + (c - '0');
    } else if ((c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f')) {
      byte = 16 * byte + ((c | 0x20) - 'a' + 10);
    } else {
      return -1;
    }
  }
  return byte;
}

Tokens apply(const TokenDecoder::ByteFallback&, Tokens tokens) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (is_valid_utf8(bytes)) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), std::string(kReplacementCharacter));
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = byte_of_token(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    result.push_back(std::move(token));
  }
  flush();
  return result;
}

Tokens apply(const TokenDecoder::Fuse&, Tokens tokens) { return {join(tokens, "")}; }

Tokens apply(const TokenDecoder::Strip& step, Tokens tokens) {
  const std::size_t size = step.content.size();
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (std::size_t i = 0; i < step.start && rest.starts_with(step.content); ++i) {
      rest.remove_prefix(size);
    }
    for (std::size_t i = 0; i < step.stop && rest.ends_with(step.content); ++i) {
      rest.remove_suffix(size);
    }
    token = std::string(rest);
  }
  return tokens;
}

Tokens apply(const TokenDecoder::ByteLevel&, Tokens tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += from_byte_alphabet(token);
  return {replace_invalid_utf8(bytes)};
}

Tokens apply(const TokenDecoder::Metaspace& step, Tokens tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool drops = i == 0 && step.drops_first;
    tokens[i] = replace_all(tokens[i], step.replacement, drops ? "" : " ");
  }
  return tokens;
}

}  // namespace

void TokenDecoder::add(Step step) { steps_.push_back(std::move(step)); }

std::string TokenDecoder::decode(std::vector<std::string> tokens) const {
  if (steps_.empty()) return join(tokens, " ");
  for (const Step& step : steps_) {
    tokens = std::visit([&](const auto& s) { return apply(s, std::move(tokens)); }, step);
  }
  return join(tokens, "");
}

std::optional<std::string> TokenDecoder::bytes_of(std::string token, bool is_first) const {
  if (steps_.empty()) return std::nullopt;
  bool is_byte = false;
  bool is_joined = false;
  for (const Step& step : steps_) {
    if (std::holds_alternative<Fuse>(step)) {
      is_joined = true;
    } else if (std::holds_alternative<ByteFallback>(step)) {
      const int byte = byte_of_token(token);
      is_byte = byte >= 0;
      if (is_byte) token = std::string(1, static_cast<char>(byte));
    } else if (std::holds_alternative<ByteLevel>(step)) {
      token = from_byte_alphabet(token);
      is_joined = true;
    } else if (const auto* metaspace = std::get_if<Metaspace>(&step)) {
      const bool drops = is_first && metaspace->drops_first;
      token = replace_all(token, metaspace->replacement, drops ? "" : " ");
    } else if (const auto* strip = std::get_if<Strip>(&step)) {
      // Of a joined text, the end is not yet known.
      const Strip now = is_joined ? Strip{strip->content, is_first ? strip->start : 0, 0} : *strip;
      token = std::move(apply(now, Tokens{std::move(token)}).front());
    } else if (const auto* replace = std::get_if<Replace>(&step); replace != nullptr && !is_byte) {
      token = std::move(apply(*replace, Tokens{std::move(token)}).front());
    }
  }
  return token;
}

}  // namespace llava::text
