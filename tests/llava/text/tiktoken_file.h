// SPDX-License-Identifier: Apache-2.0
//
// Opens a `.tiktoken` file of the Qwen family, for comparing with a real vocabulary in tests. Its
// merges are implied: a token is made of the two parts that merging by lower ranks leaves of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/text/byte_alphabet.h"
#include "llava/text/fast_tokenizer.h"

namespace llava::text {

inline std::string decode_base64(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int num_bits = 0;
  for (const char c : text) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    bytes += static_cast<char>((bits >> num_bits) & 0xFF);
  }
  return bytes;
}

inline std::vector<std::string> parts_below(const std::map<std::string, int32_t>& ranks,
                                            const std::string& token, int32_t limit) {
  std::vector<std::string> parts;
  for (const char c : token) parts.emplace_back(1, c);
  while (true) {
    std::size_t best = parts.size();
    int32_t best_rank = limit;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found != ranks.end() && found->second < best_rank) {
        best = i;
        best_rank = found->second;
      }
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

inline std::unique_ptr<Tokenizer> open_qwen_tiktoken(std::string_view file) {
  std::map<std::string, int32_t> ranks;
  std::vector<std::string> tokens;
  while (!file.empty()) {
    const std::string_view line = file.substr(0, file.find('\n'));
    file.remove_prefix(std::min(file.size(), line.size() + 1));
    if (line.empty()) continue;
    tokens.push_back(decode_base64(line.substr(0, line.find(' '))));
    ranks[tokens.back()] = static_cast<int32_t>(tokens.size()) - 1;
  }
  FastTokenizerSpec spec;
  spec.source = "tiktoken";
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const auto rank = static_cast<int32_t>(id);
    spec.model.vocab.emplace_back(to_byte_alphabet(tokens[id]), rank);
    if (tokens[id].size() < 2) continue;
    const auto parts = parts_below(ranks, tokens[id], rank);
    spec.model.merges.emplace_back(to_byte_alphabet(parts.at(0)), to_byte_alphabet(parts.at(1)));
  }
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    spec.added_tokens.push_back({.content = content, .special = true});
  }
  spec.normalizer.add(TextNormalizer::Form{UnicodeForm::kNfc});
  spec.pre_tokenizer = make_sequence(
      {make_split(
           RegexPattern(
               R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
               "test"),
           SplitBehavior::kIsolated, false),
       make_byte_level(false, false)});
  spec.decoder.add(TokenDecoder::ByteLevel{});
  return std::make_unique<FastTokenizer>(std::move(spec));
}

}  // namespace llava::text
