// SPDX-License-Identifier: Apache-2.0
#include "llava/text/token_offsets.h"

#include <algorithm>
#include <string>
#include <utility>

#include "llava/text/utf8.h"

namespace llava::text {
namespace {

// Bytes of the ordinary tokens, and which tokens stand for themselves.
struct Spelling {
  std::string text;
  bool is_whole = false;  ///< an added token: matched as it is, and text begins anew behind it
};

class Aligner {
 public:
  Aligner(const Tokenizer& tokenizer, std::string_view text, std::span<const int32_t> ids)
      : text_(text), ranges_(ids.size()) {
    spellings_.reserve(ids.size());
    for (const int32_t id : ids) {
      std::optional<std::string> bytes = tokenizer.token_bytes(id, /*is_first=*/false);
      const bool is_whole = !bytes.has_value();
      spellings_.push_back({is_whole ? tokenizer.token_text(id) : *std::move(bytes), is_whole});
    }
  }

  // The first `num_front` and last `num_back` ids were put around the text.
  bool run(std::size_t num_front, std::size_t num_back) {
    const std::size_t end = spellings_.size() - num_back;
    for (std::size_t i = 0; i < num_front; ++i) ranges_[i] = {0, 0};
    std::size_t at = 0;
    for (std::size_t i = num_front; i < end;) {
      std::size_t next = i;
      if (spellings_[i].is_whole) {
        if (!match_whole(i, at)) return false;
        next = i + 1;
      } else {
        while (next < end && !spellings_[next].is_whole) ++next;
        if (!match_run(i, next, at)) return false;
      }
      i = next;
    }
    skip_space(at);
    for (std::size_t i = end; i < spellings_.size(); ++i) ranges_[i] = {at, at};
    return at == text_.size();
  }

  std::vector<ByteRange> take() { return std::move(ranges_); }

 private:
  // Added tokens may eat the white space around them.
  void skip_space(std::size_t& at) const {
    while (at < text_.size() && (text_[at] == ' ' || (text_[at] >= '\t' && text_[at] <= '\r'))) {
      ++at;
    }
  }

  bool match_whole(std::size_t i, std::size_t& at) {
    std::size_t begin = at;
    if (!text_.substr(begin).starts_with(spellings_[i].text)) skip_space(begin);
    if (!text_.substr(begin).starts_with(spellings_[i].text)) return false;
    ranges_[i] = {begin, begin + spellings_[i].text.size()};
    at = ranges_[i].end;
    return true;
  }

  // Tokens between added ones: with a space of the tokenizer's own in front or without, and perhaps
  // with white space eaten by the added token before.
  bool match_run(std::size_t first, std::size_t last, std::size_t& at) {
    const std::size_t begin = at;
    std::size_t stripped = at;
    skip_space(stripped);
    const std::size_t starts[] = {begin, stripped};
    for (const std::size_t start : starts) {
      for (const bool has_own_space : {true, false}) {
        at = start;
        if (match_tokens(first, last, at, has_own_space)) return true;
      }
      if (begin == stripped) break;
    }
    return false;
  }

  bool match_tokens(std::size_t first, std::size_t last, std::size_t& at, bool has_own_space) {
    if (has_own_space && !spellings_[first].text.starts_with(' ')) return false;
    for (std::size_t i = first; i < last; ++i) {
      std::string_view bytes = spellings_[i].text;
      if ((i == first && has_own_space) || lacks_space(bytes, at)) bytes.remove_prefix(1);
      const std::size_t begin = at;
      for (const char c : bytes) {
        if (!match_byte(c, at)) return false;
      }
      ranges_[i] = {begin, at};
    }
    // The run ends where the next added token begins, or at the end of the text.
    if (last < spellings_.size() && spellings_[last].is_whole) {
      std::size_t next = at;
      skip_space(next);
      return text_.substr(at).starts_with(spellings_[last].text) ||
             text_.substr(next).starts_with(spellings_[last].text) || at == text_.size();
    }
    return at == text_.size();
  }

  // A space that the text does not have: the tokenizer put it in front of a word.
  bool lacks_space(std::string_view token, std::size_t at) const {
    const std::string_view rest = text_.substr(at);
    return token.starts_with(' ') && !rest.starts_with(' ') && !rest.starts_with(kSpaceSymbol);
  }

  // SentencePiece writes a space as U+2581 and takes one for the other.
  bool match_byte(char c, std::size_t& at) const {
    if (at < text_.size() && text_[at] == c) {
      ++at;
      return true;
    }
    if (c == ' ' && text_.substr(at).starts_with(kSpaceSymbol)) {
      at += kSpaceSymbol.size();
      return true;
    }
    return false;
  }

  std::string_view text_;
  std::vector<Spelling> spellings_;
  std::vector<ByteRange> ranges_;
};

}  // namespace

std::optional<std::vector<ByteRange>> token_offsets(const Tokenizer& tokenizer,
                                                    std::string_view text,
                                                    std::span<const int32_t> ids) {
  const std::size_t num_around = std::min(tokenizer.encode("").size(), ids.size());
  Aligner aligner(tokenizer, text, ids);
  for (std::size_t num_back = 0; num_back <= num_around; ++num_back) {
    if (aligner.run(num_around - num_back, num_back)) return aligner.take();
  }
  return std::nullopt;
}

}  // namespace llava::text
