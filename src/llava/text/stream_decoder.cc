// SPDX-License-Identifier: Apache-2.0
#include "llava/text/stream_decoder.h"

#include <algorithm>

#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// The window is cut back to its last tokens when it reaches the first length. The rest is context:
/// rules about the first token and its neighbours need a few.
constexpr std::size_t kMaxWindow = 64;
constexpr std::size_t kContext = 16;

std::size_t common_prefix(std::string_view a, std::string_view b) {
  const std::size_t size = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(size), b.begin()).first -
      a.begin());
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {
  // A byte that cannot end a character spoils a run of byte pieces as a whole, and a special token
  // changes the spacing of the run before it, each in some of the published decoders.
  if (const auto byte = tokenizer.id_of("<0xFF>")) probes_.push_back(*byte);
  if (const auto eos = tokenizer.eos_id(); eos && !skip_special) probes_.push_back(*eos);
}

std::size_t StreamDecoder::certain_bytes(const std::string& text) const {
  std::size_t certain = text.size();
  std::vector<int32_t> probed = window_;
  probed.push_back(0);
  for (const int32_t probe : probes_) {
    probed.back() = probe;
    certain = std::min(certain, common_prefix(text, tokenizer_->decode(probed, skip_special_)));
  }
  std::string_view rest = std::string_view(text).substr(0, certain);
  rest.remove_suffix(unfinished_utf8_suffix(rest));
  // The replacement of an unfinished character, which the next token may complete.
  while (rest.ends_with(kReplacementCharacter)) rest.remove_suffix(kReplacementCharacter.size());
  return rest.size();
}

std::string StreamDecoder::push(int32_t id) {
  window_.push_back(id);
  std::string text;
  try {
    text = tokenizer_->decode(window_, skip_special_);
  } catch (...) {
    window_.pop_back();
    throw;
  }
  const std::size_t certain = certain_bytes(text);
  std::string piece;
  if (certain > done_) {
    piece = text.substr(done_, certain - done_);
    done_ = certain;
  }
  if (window_.size() >= kMaxWindow && done_ == text.size()) shrink(text);
  return piece;
}

void StreamDecoder::shrink(const std::string& text) {
  const std::vector<int32_t> context(window_.end() - kContext, window_.end());
  const std::string context_text = tokenizer_->decode(context, skip_special_);
  // Context must hold some text, or the next token would count as the first; and apart from what
  // its own beginning does to its first word, it must read as it did in the longer window.
  const bool has_text = context_text.find_first_not_of(" \n") != std::string::npos;
  const std::string_view tail = std::string_view(context_text).substr(context_text.find(' ') + 1);
  if (!has_text || !std::string_view(text).ends_with(tail)) return;
  window_ = context;
  done_ = context_text.size();
}

std::string StreamDecoder::finish() {
  const std::string text = tokenizer_->decode(window_, skip_special_);
  std::string piece = text.size() > done_ ? text.substr(done_) : std::string();
  window_.clear();
  done_ = 0;
  return piece;
}

}  // namespace llava::text
